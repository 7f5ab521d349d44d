"""The peer's plain decoding: `generate` of transformers, which TRL samples with."""

import torch
from transformers import AutoModelForCausalLM

from benchmarks.turns import Asked, Turns
from benchmarks.work import NEW_TOKENS, decoded_prompts, forced_tokens, shown_ids
from benchmarks.works.on_trl import tune_if_asked


@torch.no_grad()
def main(asked: Asked) -> None:
    """Samples as many replies at once as the option says, until told to stop."""
    rows = int(asked.options[0])
    turns = Turns()
    tune_if_asked(asked)
    model = AutoModelForCausalLM.from_pretrained(asked.model, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    turns.loaded()
    prompts = torch.tensor(decoded_prompts(asked.size, rows))
    index = 0
    while True:
        turns.border(index)
        if index == 0:
            turns.step(logits=forced_logits(model, asked, prompts))
        torch.manual_seed(index)
        whole = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            top_k=0,
            max_new_tokens=NEW_TOKENS,
        )
        turns.lengths.append([whole.shape[1] - prompts.shape[1]] * rows)
        index += 1


def forced_logits(model: AutoModelForCausalLM, asked: Asked, prompts: torch.Tensor) -> list[float]:
    """Logits after the prompts and after each of some given tokens, with transformers' cache."""
    ids = shown_ids(asked.size)
    out = model(prompts, use_cache=True)
    found = [out.logits[:, -1, ids]]
    for tokens in forced_tokens(asked.size, len(prompts)):
        out = model(torch.tensor(tokens)[:, None], past_key_values=out.past_key_values)
        found.append(out.logits[:, -1, ids])
    return torch.cat(found).flatten().tolist()


if __name__ == "__main__":
    main(Asked.from_command_line())
