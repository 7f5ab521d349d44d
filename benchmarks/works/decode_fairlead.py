"""Fairlead's side of plain decoding: its own engine, no reply ends early."""

from benchmarks.turns import Asked, Turns
from benchmarks.work import COMPARED_TOKENS, NEW_TOKENS, decoded_prompts
from fairlead.core.allocator import tune_allocator
from fairlead.core.seeds import Seed
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy


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
            greedy = Sampling(max_new_tokens=COMPARED_TOKENS, temperature=0)
            likely = engine.sample(prompts, greedy, n=1, seed=Seed(0))
            turns.step(
                tokens=[rollout.tokens for rollout in likely],
                logps=[rollout.logps for rollout in likely],
            )
        drawn = engine.sample(prompts, Sampling(max_new_tokens=NEW_TOKENS), n=1, seed=Seed(index))
        turns.lengths.append([len(rollout.tokens) for rollout in drawn])
        index += 1


if __name__ == "__main__":
    main(Asked.from_command_line())
