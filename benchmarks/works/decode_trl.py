"""The peer's plain decoding: `generate` of transformers, which TRL samples with."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks.turns import Asked, Turns
from benchmarks.work import COMPARED_TOKENS, NEW_TOKENS, decoded_prompts
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
            turns.step(**likely(model, prompts))
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


def likely(model: AutoModelForCausalLM, prompts: torch.Tensor) -> dict[str, Any]:
    """The most likely tokens of each row and their log-probabilities."""
    out = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=False,
        max_new_tokens=COMPARED_TOKENS,
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokens = out.sequences[:, prompts.shape[1] :]
    logps = torch.stack(out.logits, dim=1).log_softmax(-1).gather(2, tokens[..., None]).squeeze(2)
    return {"tokens": tokens.tolist(), "logps": logps.tolist()}


if __name__ == "__main__":
    main(Asked.from_command_line())
