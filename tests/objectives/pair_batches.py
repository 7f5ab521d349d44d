"""Pairs of replies of given lengths, from summed log-probabilities in float64."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from batches import interleaved
from torch import Tensor

from fairlead.data.batches import preference_batch
from fairlead.data.chat import Item
from fairlead.objectives import Objective, PreferenceBatch, Scores

Named = Callable[[str], tuple[dict[str, Any], dict[str, Any]]]


@dataclass(frozen=True)
class Given:
    """Sums of log-probabilities, chosen and rejected in turn, and the batch they belong to."""

    logps: Tensor
    batch: PreferenceBatch

    def scores(self) -> Scores:
        """The sums spread evenly over the tokens of each reply."""
        owner = self.batch.packed.row_sequence
        return Scores(logps=(self.logps / torch.bincount(owner))[owner])


def pairs_of(
    chosen: Tensor,
    rejected: Tensor,
    *,
    reference: Tensor | None = None,
    lengths: tuple[Sequence[int], Sequence[int]] | None = None,
) -> Given:
    """Comparisons whose replies have these sums and lengths (one token if not given)."""
    counts = lengths or ([1] * len(chosen), [1] * len(chosen))
    items = [Item((1,), ((2,) * a, (2,) * b), (0, 1)) for a, b in zip(*counts, strict=True)]
    batch = preference_batch(items)
    values = {"weight": batch.weight.double(), "reference": reference}
    return Given(interleaved(chosen, rejected), PreferenceBatch(**(vars(batch) | values)))


def published_pairs(reference_value: Named) -> tuple[dict[str, Any], dict[str, Any], Given]:
    """Inputs and outputs of `pref.dpo`, and the batch they make."""
    given, expected = reference_value("pref.dpo")
    lengths = given["len_chosen"].int().tolist(), given["len_rejected"].int().tolist()
    reference = interleaved(given["ref_chosen"], given["ref_rejected"])
    made = pairs_of(
        given["policy_chosen"], given["policy_rejected"], reference=reference, lengths=lengths
    )
    return given, expected, made


def assert_published(
    objective: Objective, given: Given, per_pair: Sequence[float] | Tensor
) -> None:
    """Every pair by itself, and all of them together, have the losses that were published."""
    expected = torch.as_tensor(per_pair, dtype=torch.float64)
    loss = objective(given.scores(), given.batch, given.batch.totals())
    assert loss.value.item() == pytest.approx(expected.mean().item(), rel=1e-8)
    for place, value in enumerate(expected.tolist()):
        marks = torch.zeros(len(expected), dtype=torch.float64)
        marks[place] = 1.0
        alone = PreferenceBatch(**(vars(given.batch) | {"weight": marks}))
        loss = objective(given.scores(), alone, alone.totals())
        assert loss.value.item() == pytest.approx(value, rel=1e-8, abs=1e-9)


def value_at(objective: Objective, given: Given) -> float:
    return objective(given.scores(), given.batch, given.batch.totals()).value.item()


def gradient_at(objective: Objective, given: Given) -> Tensor:
    """Gradient of the loss in the summed log-probabilities."""
    leaf = given.logps.clone().requires_grad_()
    moved = Given(leaf, given.batch)
    loss = objective(moved.scores(), given.batch, given.batch.totals()).value
    return torch.autograd.grad(loss, leaf)[0]


def at_reference(count: int = 3) -> Given:
    """A policy that is its reference."""
    own = torch.linspace(-40, -3, 2 * count, dtype=torch.float64)
    lengths = [3 + i for i in range(count)], [9 - i for i in range(count)]
    return pairs_of(own[0::2], own[1::2], reference=own, lengths=lengths)


def with_margins(*margins: float) -> Given:
    """Pairs of one token whose margins over the reference are these, half on each side."""
    half = torch.tensor(margins, dtype=torch.float64) / 2
    reference = torch.full((2 * len(margins),), -7.0, dtype=torch.float64)
    return pairs_of(-7.0 + half, -7.0 - half, reference=reference)
