"""TRL's side of DPO; with `precomputed` its reference is scored once, as ours is."""

import time
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

from benchmarks.turns import Asked, Turns
from benchmarks.work import BETA, Pair, batches, pairs_digest
from benchmarks.works.on_trl import Halt, comparisons, settings, tune_if_asked


def main(asked: Asked) -> None:
    """Trains until told to stop."""
    turns = Turns(len(batches(asked.size)))
    tune_if_asked(asked)

    class Timed(DPOTrainer):
        """Times the one pass of the reference, where there is one."""

        def _precompute_ref_logps(self, *args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = super()._precompute_ref_logps(*args, **kwargs)
            turns.facts["once_seconds"] = time.perf_counter() - started
            return result

    policy = AutoModelForCausalLM.from_pretrained(asked.model, dtype=torch.float32)
    turns.loaded()
    args = DPOConfig(
        **settings(asked, asked.size.batch),
        train_sampling_strategy="sequential",
        beta=BETA,
        precompute_ref_log_probs="precomputed" in asked.options,
    )
    trainer = Timed(
        policy,
        args=args,
        train_dataset=Dataset.from_list(comparisons(asked)),
        processing_class=AutoTokenizer.from_pretrained(asked.model),
        callbacks=[Halt(turns)],
    )
    rows: Any = trainer.train_dataset
    seen = [Pair(r["prompt_ids"], r["chosen_ids"], r["rejected_ids"]) for r in rows]
    turns.facts["data"] = pairs_digest(seen)
    trainer.train()


if __name__ == "__main__":
    main(Asked.from_command_line())
