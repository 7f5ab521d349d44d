"""Fairlead's side: its own loop, on batches in the order of the data.

python -m benchmarks.dpo_fairlead SIZE MODEL_FOLDER SCRATCH_FOLDER
"""

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.epochs import Epochs
from benchmarks.work import BETA, LEARNING_RATE, MAX_GRAD_NORM, SIZES, Size, digest, make_pairs
from fairlead.core.allocator import tune_allocator
from fairlead.core.seeds import Seed
from fairlead.data.batches import microbatches, preference_batch
from fairlead.data.chat import Item
from fairlead.models.loading import load_policy
from fairlead.models.reference import reference_logps
from fairlead.objectives.dpo import DPO
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource, Ranks, Step

ENDLESS = 10_000


def settings(size: Size) -> TrainConfig:
    """The peer's settings; all else as Fairlead ships it."""
    return TrainConfig(
        batch_size=size.batch,
        epochs=ENDLESS,
        learning_rate=LEARNING_RATE,
        schedule="constant",
        warmup=0.0,
        betas=(0.9, 0.999),
        max_grad_norm=MAX_GRAD_NORM,
        checkpoint_every=ENDLESS * size.pairs,
    )


@dataclass(frozen=True, kw_only=True)
class Halting(DatasetSource):
    """Batches in the order of the data, with a halt between epochs."""

    halt: Epochs
    metrics: Path
    facts: dict[str, Any] = field(default_factory=dict)

    def step(self, index: int, ranks: Ranks) -> Step:
        epoch, place = divmod(index, len(self.items) // self.batch_size)
        if place == 0:
            self._border(epoch)
        chosen = self.items[place * self.batch_size : (place + 1) * self.batch_size]
        groups = microbatches(chosen, self.microbatch_tokens)
        return Step([self.collate(group) for group in groups])

    def _border(self, epoch: int) -> None:
        if epoch:
            lines = self.metrics.read_text().splitlines()
            for line in lines[-(len(self.items) // self.batch_size) :]:
                logged = json.loads(line)
                self.halt.step(logged["loss/total"], logged["train/gradient_norm"])
            self.halt.end()
        self.halt.begin(**self.facts)


def main(name: str, model: Path, scratch: Path) -> None:
    """Trains until told to stop; the reference is scored once, as the DPO stage does."""
    halt, size = Epochs(), SIZES[name]
    tune_allocator()
    pairs, config = make_pairs(size), settings(size)
    items = [
        Item(tuple(p.prompt), (tuple(p.chosen), tuple(p.rejected)), (0, 1), n)
        for n, p in enumerate(pairs)
    ]
    policy = load_policy(model)
    halt.loaded()
    started = time.perf_counter()
    reference = load_policy(model)
    tokens = config.microbatch_tokens
    known = reference_logps(reference, items, tokens=tokens, cache=scratch / "reference")
    facts = {"once_seconds": time.perf_counter() - started, "data": digest(pairs)}
    source = Halting(
        items,
        lambda group: preference_batch(group, reference=lambda item: known[item.record]),
        size.batch,
        ENDLESS,
        tokens,
        Seed(0),
        halt=halt,
        metrics=scratch / "run" / "metrics.jsonl",
        facts=facts,
    )
    train(policy, DPO(beta=BETA), source, config, seed=Seed(0), run_dir=scratch / "run")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
