"""Batches of sampled replies of several tokens, from plain numbers in float64."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from batches import rollouts
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.data.batches import pack
from fairlead.data.chat import Item
from fairlead.objectives import Loss, Objective, RolloutBatch, Scores

CLOSE: dict[str, float] = {"rtol": 1e-8, "atol": 1e-9}
EXACT: dict[str, float] = {"rtol": 1e-12, "atol": 1e-14}


def normal(seed: int, *size: int, scale: float = 1.0) -> Tensor:
    return torch.from_numpy(Seed(seed).child("numbers").numpy().normal(0.0, scale, size))


def reply_batch(lengths: Sequence[int], *, budget: int = 8, **given: Any) -> RolloutBatch:
    """One reply of each length; rows in order, credit 0 unless given."""
    extra = {n: given.pop(n) for n in list(given) if n in ("reference", "macros")}
    extra |= {n: given.pop(n) for n in list(given) if n in ("cost_returns", "old_cost_values")}
    made = rollouts(sum(lengths), **given)
    packed = pack([Item((1,), ((2,) * n,)) for n in lengths])
    return replace(made, packed=packed, budget=budget, **extra)


def masked(table: Tensor, mask: Tensor) -> Tensor:
    """The rows of a [reply, token] table."""
    return table[mask.bool()]


def over_rows(x: Tensor, lengths: Sequence[int]) -> Tensor:
    """Each reply's number at each of its rows."""
    return x.repeat_interleave(torch.tensor(list(lengths)))


def loss_of(objective: Objective, logps: Tensor, batch: RolloutBatch, **heads: Tensor) -> Loss:
    zeros = torch.zeros_like(logps)
    given = {"values": zeros, "cost_values": zeros} | heads
    return objective(Scores(logps=logps, entropy=zeros, **given), batch, batch.totals())


def gradient_of(
    objective: Objective, logps: Tensor, batch: RolloutBatch, **heads: Tensor
) -> Tensor:
    leaf = logps.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(objective, leaf, batch, **heads).value, leaf)
    return gradient


def metrics_of(loss: Loss) -> dict[str, float]:
    return {name: mean.value for name, mean in loss.metrics.items()}
