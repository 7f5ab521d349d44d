"""Random examples for every kind of batch: items, and the scores that a model gave them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.data.batches import pack, preference_batch, sequence_batch
from fairlead.data.chat import Item
from fairlead.objectives import (
    Batch,
    Need,
    Objective,
    PreferenceBatch,
    RolloutBatch,
    Scores,
    SequenceBatch,
)

WANTED = {
    Need.LOGPS: "logps",
    Need.ENTROPY: "entropy",
    Need.VALUES: "values",
    Need.REWARDS: "rewards",
}
"""The scores that a need asks for."""

CREDIT = ("old_logps", "advantages", "returns", "old_values")


@dataclass(frozen=True)
class Example:
    """An item with the numbers that belong to its rows and sequences."""

    item: Item
    scores: dict[str, Tensor]
    reference: Tensor
    credit: dict[str, Tensor]
    pretraining: bool

    @property
    def rows(self) -> int:
        return sum(map(len, self.item.responses))


def example(objective: type[Objective], seed: Seed) -> Example:
    """One random example that fits the objective's batch type."""
    random = seed.numpy()
    replies = int(random.integers(2, 5)) if objective.batch is PreferenceBatch else 1
    lengths = random.integers(1, 6, replies)
    responses = tuple(tuple(random.integers(0, 20, n).tolist()) for n in lengths)
    ranks = random.integers(0, 3, replies)  # three ranks for up to four replies: there are ties
    ranks[:2] = (0, 1)[:replies]  # but never all of them
    prompt = tuple(random.integers(0, 20, int(random.integers(1, 5))).tolist())
    rows = int(lengths.sum())

    def normal(size: int, scale: float = 1.0) -> Tensor:
        return torch.from_numpy(random.normal(0.0, scale, size))

    logps = -normal(rows).abs() - 0.1
    scores = {
        "logps": logps,
        "entropy": normal(rows).abs(),
        "values": normal(rows),
        "rewards": normal(replies, 2.0),
    }
    return Example(
        item=Item(prompt, responses, tuple(map(int, random.permutation(ranks)))),
        scores={WANTED[n]: scores[WANTED[n]] for n in objective.needs if n in WANTED},
        reference=normal(replies, 3.0),
        credit={name: normal(rows) for name in CREDIT} | {"old_logps": logps + normal(rows, 0.3)},
        pretraining=bool(random.random() < 0.4),
    )


def examples(objective: type[Objective], seed: int, count: int) -> list[Example]:
    """Several; the first is never pretraining text, so that there is always something to learn."""
    made = [example(objective, Seed(seed).child(number)) for number in range(count)]
    return [replace(made[0], pretraining=False), *made[1:]]


def batch_of(objective: type[Objective], chosen: Sequence[Example]) -> Batch:
    """The microbatch of some examples."""
    items = [one.item for one in chosen]
    if objective.batch is SequenceBatch:
        return sequence_batch(items)
    if objective.batch is PreferenceBatch:
        made = preference_batch(items)
        return replace(
            made,
            weight=1 / (1 / made.weight.double()).round(),
            reference=torch.cat([one.reference for one in chosen]),
        )
    assert objective.batch is RolloutBatch, f"no random examples for {objective.batch.__name__}"
    return RolloutBatch(
        packed=pack(items),
        pretraining=torch.cat([torch.full((one.rows,), one.pretraining) for one in chosen]),
        **{name: torch.cat([one.credit[name] for one in chosen]) for name in CREDIT},
    )


def scores_of(chosen: Sequence[Example]) -> Scores:
    """What the model said about some examples."""
    names = chosen[0].scores
    return Scores(**{name: torch.cat([one.scores[name] for one in chosen]) for name in names})


def tensors_in(value: Any) -> dict[str, Tensor]:
    """All tensors of a batch or of scores, by name."""
    found: dict[str, Tensor] = {}
    for name in value.__dataclass_fields__:
        part = getattr(value, name)
        if isinstance(part, Tensor):
            found[name] = part
        elif hasattr(part, "__dataclass_fields__"):
            found |= {f"{name}.{inner}": x for inner, x in tensors_in(part).items()}
    return found
