"""What TRL's sides share: settings, halts between turns, the data as rows. Needs no Fairlead."""

from typing import Any

from transformers import TrainerCallback

from benchmarks.turns import Asked, Turns
from benchmarks.work import LEARNING_RATE, MAX_GRAD_NORM, keep_freed_memory, make_pairs, text


def tune_if_asked(asked: Asked) -> None:
    """Gives TRL the allocator settings that Fairlead gives itself, where the option says so."""
    if "tuned" in asked.options:
        keep_freed_memory()


def settings(asked: Asked, batch: int) -> dict[str, Any]:
    """As shipped, but in float32 and without gradient checkpointing, like our side."""
    return {
        "output_dir": str(asked.scratch / "run"),
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "max_grad_norm": MAX_GRAD_NORM,
        "per_device_train_batch_size": batch,
        "num_train_epochs": 10_000,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


class Halt(TrainerCallback):
    """Stops between turns and notes what every step gave."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.turns.border(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any, **_: Any) -> None:
        self.turns.step(loss=float(logs["loss"]), gradient_norm=float(logs["grad_norm"]))


def comparisons(asked: Asked) -> list[dict[str, str]]:
    """Rows of the data set; TRL tokenises them again."""
    return [
        {
            "prompt": text(pair.prompt),
            "chosen": " " + text(pair.chosen),
            "rejected": " " + text(pair.rejected),
        }
        for pair in make_pairs(asked.size)
    ]
