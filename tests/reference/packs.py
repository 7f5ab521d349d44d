"""Batches of the product from tables of numbers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor


def ranked(
    rankings: Sequence[Sequence[float]], *, weight: Tensor | None = None, **given: Any
) -> Any:
    """Replies of one token each with the ranks of each prompt; all untied pairs."""
    from fairlead.data.batches import preference_batch
    from fairlead.data.chat import Item

    items = [Item((1,), ((2,),) * len(r), tuple(int(x) for x in r)) for r in rankings]
    batch = preference_batch(items)
    exact = 1 / (1 / batch.weight.double()).round() if weight is None else weight
    return replace(batch, weight=exact, **given)


def pairs(count: int, **given: Any) -> Any:
    """Comparisons whose sequences alternate chosen, rejected."""
    return ranked([(0, 1)] * count, **given)


def alternating(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(chosen, rejected, chosen, rejected, ...)."""
    return torch.stack([chosen, rejected], dim=1).flatten(0, 1)


def rollouts(mask: Tensor, *, budget: int = 1, **tables: Tensor) -> Any:
    """Replies with as many tokens as their row of `mask`; tables are [reply, token]."""
    from fairlead.data.batches import pack
    from fairlead.data.chat import Item
    from fairlead.objectives import RolloutBatch

    items = [Item((1,), (tuple(range(n)),)) for n in mask.sum(1).tolist()]
    rows = int(mask.sum())
    credit = {
        name: tables[name][mask] if name in tables else torch.zeros(rows, dtype=torch.float64)
        for name in ("old_logps", "advantages", "returns", "old_values")
    }
    beside = {name: tables[name][mask] for name in ("reference", "macros") if name in tables}
    text = torch.zeros(rows, dtype=torch.bool)
    return RolloutBatch(packed=pack(items), pretraining=text, budget=budget, **credit, **beside)


def loss_of(objective: Any, batch: Any, **scores: Tensor) -> tuple[float, dict[str, float]]:
    """Loss of a batch that is the whole step, and its metrics."""
    from fairlead.objectives import Scores

    loss = objective(Scores(**scores), batch, batch.totals())
    return float(loss.value), {name: mean.value for name, mean in loss.metrics.items()}


def shown_where(mask: Tensor, x: Tensor) -> Tensor:
    """0 where the mask is False, as the file has it."""
    return torch.where(mask, x, 0.0)
