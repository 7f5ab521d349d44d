"""TRL's side: DPOTrainer, on batches in the order of the data. Runs in an environment of its own.

python -m benchmarks.dpo_trl SIZE MODEL_FOLDER SCRATCH_FOLDER [precomputed] [tuned]
"""

import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.epochs import Epochs
from benchmarks.work import (
    BETA,
    LEARNING_RATE,
    MAX_GRAD_NORM,
    SIZES,
    Pair,
    Size,
    digest,
    keep_freed_memory,
    make_pairs,
    text,
)


def main(name: str, model: Path, scratch: Path, options: set[str]) -> None:
    """Trains until told to stop."""
    halt, size = Epochs(), SIZES[name]
    if "tuned" in options:
        keep_freed_memory()

    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    class Halt(TrainerCallback):
        """Stops between epochs and notes every step."""

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            halt.begin(**facts)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any, **_: Any) -> None:
            halt.step(float(logs["loss"]), float(logs["grad_norm"]))
            if len(halt.steps) == size.pairs // size.batch:
                halt.end()

    class Timed(DPOTrainer):
        """Times the one pass of the reference, where there is one."""

        def _precompute_ref_logps(self, *args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = super()._precompute_ref_logps(*args, **kwargs)
            facts["once_seconds"] = time.perf_counter() - started
            return result

    pairs = make_pairs(size)
    facts: dict[str, Any] = {"once_seconds": 0.0}
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model)
    halt.loaded()
    trainer = Timed(
        policy,
        args=DPOConfig(**settings(size, scratch, "precomputed" in options)),
        train_dataset=Dataset.from_list([as_text(pair) for pair in pairs]),
        processing_class=tokenizer,
        callbacks=[Halt()],
    )
    rows: Any = trainer.train_dataset
    seen = [Pair(r["prompt_ids"], r["chosen_ids"], r["rejected_ids"]) for r in rows]
    facts["data"] = digest(seen)
    trainer.train()


def settings(size: Size, scratch: Path, precomputed: bool) -> dict[str, Any]:
    """As shipped, but in float32 and without gradient checkpointing, like our side."""
    return {
        "output_dir": str(scratch / "run"),
        "beta": BETA,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "max_grad_norm": MAX_GRAD_NORM,
        "per_device_train_batch_size": size.batch,
        "train_sampling_strategy": "sequential",
        "precompute_ref_log_probs": precomputed,
        "num_train_epochs": 10_000,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def as_text(pair: Pair) -> dict[str, str]:
    """A row of the data set; TRL tokenises it again."""
    return {
        "prompt": text(pair.prompt),
        "chosen": " " + text(pair.chosen),
        "rejected": " " + text(pair.rejected),
    }


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), set(sys.argv[4:]))
