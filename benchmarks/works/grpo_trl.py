"""TRL's side of GRPO. The first step learns from known replies instead of sampled ones."""

from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from benchmarks.turns import Asked, Turns
from benchmarks.work import (
    GROUP,
    NEW_TOKENS,
    grpo_prompts,
    recorded_replies,
    text,
    worth,
)
from benchmarks.works.on_trl import Halt, settings, tune_if_asked


def main(asked: Asked) -> None:
    """Samples, scores and updates until told to stop."""
    turns = Turns(asked.size.grpo_steps, more_at_first=1)
    tune_if_asked(asked)
    prompts = grpo_prompts(asked.size)
    known = [reply for replies in recorded_replies(asked.size) for reply in replies]

    class Timed(GRPOTrainer):
        """Times the parts of a step, and takes the first replies from the record."""

        def _prepare_inputs(self, generation_batch: Any) -> Any:
            with turns.part("making"):
                return super()._prepare_inputs(generation_batch)

        def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step == 0:
                assert prompt_ids == [prompt for prompt in prompts for _ in range(GROUP)]
                return known, None
            with turns.part("sampling"):
                replies, logps = super()._generate_single_turn(prompt_ids, *args, **kwargs)
            turns.lengths.append([len(reply) for reply in replies])
            return replies, logps

    policy = AutoModelForCausalLM.from_pretrained(asked.model, dtype=torch.float32)
    turns.loaded()
    args = GRPOConfig(
        **settings(asked, asked.size.prompts * GROUP),
        shuffle_dataset=False,
        num_generations=GROUP,
        max_completion_length=NEW_TOKENS,
        loss_type="grpo",
    )
    trainer = Timed(
        policy,
        reward_funcs=reward,
        args=args,
        train_dataset=Dataset.from_list([{"prompt": text(prompt)} for prompt in prompts]),
        processing_class=AutoTokenizer.from_pretrained(asked.model),
        callbacks=[Halt(turns)],
    )
    trainer.train()


def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """What `work.worth` says of each reply's tokens."""
    return [worth(reply) for reply in completion_ids]


if __name__ == "__main__":
    main(Asked.from_command_line())
