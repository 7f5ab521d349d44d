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
    DistillationBatch,
    Need,
    Objective,
    PreferenceBatch,
    RolloutBatch,
    Scores,
    SequenceBatch,
    StepBatch,
    Totals,
    UnpairedBatch,
)

WANTED = {
    Need.LOGPS: "logps",
    Need.ENTROPY: "entropy",
    Need.VALUES: "values",
    Need.COST_VALUES: "cost_values",
    Need.DISTRIBUTION: "distribution",
    Need.REWARDS: "rewards",
    Need.STEPS: "steps",
    Need.LENGTH_REWARDS: "length_rewards",
    Need.LATENTS: "latent_mean",
    Need.DIMENSIONS: "dimensions",
    Need.EMBEDDINGS: "embeddings",
}
"""The scores that a need asks for."""

BESIDE = {Need.LATENTS: "latent_logvar", Need.EMBEDDINGS: "eigenvalues"}
"""What comes with a score."""

CREDIT = (
    "old_logps",
    "advantages",
    "returns",
    "old_values",
    "reference",
    "cost_returns",
    "old_cost_values",
)

VOCABULARY = 20


@dataclass(frozen=True)
class Example:
    """An item with the numbers that belong to its rows and sequences."""

    item: Item
    scores: dict[str, Tensor]
    reference: Tensor
    credit: dict[str, Tensor]
    pretraining: bool
    beside: dict[str, Tensor]
    """What a batch holds of each sequence, pair or row besides: strengths, labels, costs..."""
    mismatched: dict[str, Tensor]
    """Scores of the prompt with another's reply, and the reference's."""

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

    def normal(*size: int, scale: float = 1.0) -> Tensor:
        return torch.from_numpy(random.normal(0.0, scale, size))

    def uniform(*size: int) -> Tensor:
        return torch.from_numpy(random.uniform(0.0, 1.0, size))

    pair_count = sum(a < b for a in ranks for b in ranks)
    logps = -normal(rows).abs() - 0.1
    scores = {
        "logps": logps,
        "entropy": normal(rows).abs(),
        "values": normal(rows),
        "cost_values": normal(rows),
        "distribution": normal(rows, VOCABULARY).log_softmax(-1),
        "rewards": normal(replies, scale=2.0),
        "steps": normal(rows),
        "length_rewards": normal(replies),
        "latent_mean": normal(replies, 3),
        "latent_logvar": normal(replies, 3),
        "dimensions": normal(replies, 4),
        "embeddings": normal(replies, 4),
        "eigenvalues": uniform(1, 2).repeat(replies, 1),
    }
    wanted = {WANTED[n] for n in objective.needs if n in WANTED}
    wanted |= {BESIDE[n] for n in objective.needs if n in BESIDE}
    credit = {name: normal(rows) for name in CREDIT}
    return Example(
        item=Item(prompt, responses, tuple(map(int, random.permutation(ranks)))),
        scores={name: scores[name] for name in scores if name in wanted},
        reference=normal(replies, scale=3.0),
        credit=credit
        | {name: logps + normal(rows, scale=0.3) for name in ("old_logps", "reference")},
        pretraining=bool(random.random() < 0.4),
        beside={
            "strength": uniform(pair_count),
            "label": uniform(pair_count),
            "costs": normal(replies).sign(),
            "ratings": normal(replies, 4),
            "explored": uniform(replies) < 0.5,
            "desirable": uniform(replies) < 0.5,
            "labels": uniform(rows),
            "teacher": normal(rows, VOCABULARY).log_softmax(-1),
        },
        mismatched={"logps": -normal(rows).abs() - 0.1, "reference": normal(replies, scale=3.0)},
    )


def examples(objective: type[Objective], seed: int, count: int) -> list[Example]:
    """Several; the first is never pretraining text, so that there is always something to learn."""
    made = [example(objective, Seed(seed).child(number)) for number in range(count)]
    return [replace(made[0], pretraining=False), *made[1:]]


def batch_of(objective: type[Objective], chosen: Sequence[Example]) -> Batch:
    """The microbatch of some examples."""
    items = [one.item for one in chosen]

    def joined(name: str) -> Tensor:
        return torch.cat([one.beside[name] for one in chosen])

    def references() -> Tensor:
        return torch.cat([one.reference for one in chosen])

    if objective.batch is SequenceBatch:
        return sequence_batch(items)
    if objective.batch is StepBatch:
        return StepBatch(pack(items), joined("labels"))
    if objective.batch is UnpairedBatch:
        mismatched = torch.cat([one.mismatched["reference"] for one in chosen])
        return UnpairedBatch(
            pack(items), joined("desirable"), references(), pack(items), mismatched
        )
    if objective.batch is DistillationBatch:
        advantages = torch.cat([one.credit["advantages"] for one in chosen])
        return DistillationBatch(pack(items), joined("teacher"), advantages)
    if objective.batch is PreferenceBatch:
        made = preference_batch(items)
        return replace(
            made,
            weight=1 / (1 / made.weight.double()).round(),
            reference=references(),
            **{n: joined(n) for n in ("strength", "label", "costs", "ratings", "explored")},
        )
    assert objective.batch is RolloutBatch, f"no random examples for {objective.batch.__name__}"
    return RolloutBatch(
        packed=pack(items),
        pretraining=torch.cat([torch.full((one.rows,), one.pretraining) for one in chosen]),
        macros=_macros(chosen),
        budget=8,
        **{name: torch.cat([one.credit[name] for one in chosen]) for name in CREDIT},
    )


def _macros(chosen: Sequence[Example]) -> Tensor:
    """Macro actions of two tokens, counted on through the batch."""
    numbers: list[int] = []
    for one in chosen:
        first = numbers[-1] + 1 if numbers else 0
        numbers += [first + place // 2 for place in range(one.rows)]
    return torch.tensor(numbers)


def totals_of(objective: type[Objective], chosen: Sequence[Sequence[Example]]) -> Totals:
    """Counts and statistics of a step made of several microbatches."""
    batches = [batch_of(objective, part) for part in chosen]
    totals = sum((batch.totals() for batch in batches), Totals())
    if not objective.has_statistics:
        return totals
    previews = [_preview_scores(objective, part) for part in chosen]
    with torch.no_grad():
        parts = [
            objective().statistics(scores, batch)
            for scores, batch in zip(previews, batches, strict=True)
        ]
    return replace(totals, statistics=tuple(torch.stack(parts).sum(0).tolist()))


def _preview_scores(objective: type[Objective], chosen: Sequence[Example]) -> Scores:
    if objective.batch is UnpairedBatch:
        return Scores(logps=torch.cat([one.mismatched["logps"] for one in chosen]))
    return scores_of(chosen)


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
