"""Batches from plain numbers, in float64."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fairlead.data.batches import pack, preference_batch, sequence_batch
from fairlead.data.chat import Item
from fairlead.objectives import PreferenceBatch, RolloutBatch, SequenceBatch


def of_lengths(*lengths: int) -> SequenceBatch:
    """One reply of each length after a prompt of one token."""
    return sequence_batch([Item((1,), (tuple(range(length)),)) for length in lengths])


def ranked(
    *rankings: Sequence[float], reference: Sequence[float] | Tensor | None = None
) -> PreferenceBatch:
    """A group for each sequence of ranks; every reply is one token, a row of its own."""
    items = [Item((1,), ((2,),) * len(r), tuple(map(int, r))) for r in rankings]
    batch = preference_batch(items)
    weight = 1 / (1 / batch.weight.double()).round()
    if reference is not None:
        reference = torch.as_tensor(reference, dtype=torch.float64)
    return replace(batch, weight=weight, reference=reference)


def pairs(count: int, reference: Tensor | None = None) -> PreferenceBatch:
    """Comparisons; sequences alternate chosen, rejected."""
    return ranked(*[(0, 1)] * count, reference=reference)


def interleaved(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(chosen, rejected, chosen, rejected, ...)."""
    return torch.stack([chosen, rejected], dim=1).flatten()


def rollouts(rows: int, *, pretraining: Sequence[int] = (), **given: Any) -> RolloutBatch:
    """Replies of one token each; credit is 0 unless given."""
    credit = {
        name: torch.as_tensor(given.get(name, [0.0] * rows), dtype=torch.float64)
        for name in ("old_logps", "advantages", "returns", "old_values")
    }
    mixed_in = torch.zeros(rows, dtype=torch.bool)
    mixed_in[list(pretraining)] = True
    return RolloutBatch(packed=pack([Item((1,), ((2,),))] * rows), pretraining=mixed_in, **credit)
