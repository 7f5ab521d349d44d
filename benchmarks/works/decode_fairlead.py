"""Fairlead's side of plain decoding: its own engine, no reply ends early."""

import torch

from benchmarks.turns import Asked, Turns
from benchmarks.work import NEW_TOKENS, decoded_prompts, forced_tokens, shown_ids
from fairlead.core.allocator import tune_allocator
from fairlead.core.seeds import Seed
from fairlead.generation.decoders import decoder
from fairlead.generation.local import LocalEngine, evaluating
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy
from fairlead.models.policy import Policy


def main(asked: Asked) -> None:
    """Samples as many replies at once as the option says, until told to stop."""
    rows = int(asked.options[0])
    turns = Turns()
    tune_allocator()
    policy = load_policy(asked.model)
    turns.loaded()
    prompts = [tuple(prompt) for prompt in decoded_prompts(asked.size, rows)]
    engine = LocalEngine(policy)
    engine.eos = frozenset()
    index = 0
    while True:
        turns.border(index)
        if index == 0:
            turns.step(logits=forced_logits(policy, asked, prompts))
        drawn = engine.sample(prompts, Sampling(max_new_tokens=NEW_TOKENS), n=1, seed=Seed(index))
        turns.lengths.append([len(rollout.tokens) for rollout in drawn])
        index += 1


@torch.no_grad()
def forced_logits(policy: Policy, asked: Asked, prompts: list[tuple[int, ...]]) -> list[float]:
    """Logits after the prompts and after each of some given tokens, by the engine's decoder."""
    ids, forced = shown_ids(asked.size), forced_tokens(asked.size, len(prompts))
    with evaluating(policy.model):
        model = decoder(policy)
        found = [model.prefill(prompts, range(len(prompts)), len(forced))[:, ids]]
        found += [model.step(torch.tensor(tokens))[:, ids] for tokens in forced]
    return torch.cat(found).flatten().tolist()


if __name__ == "__main__":
    main(Asked.from_command_line())
