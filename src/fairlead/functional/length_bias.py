"""How far a score follows the length of replies, and the score without it.

Singhal et al. 2023, arXiv:2310.03716, on rewards that follow length. A straight line is fitted on
reference replies; what it says beyond the mean length is taken off.
"""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairlead.core.errors import DataError


@dataclass(frozen=True)
class LengthFit:
    """Reward as a straight line of length, by least squares."""

    slope: float
    """Reward per token."""
    intercept: float
    """Reward at length 0."""
    mean_length: float
    """Mean length of the replies fitted on, in tokens: a reply of this length keeps its reward."""

    def residual(
        self, rewards: Float[Tensor, " reply"], lengths: Float[Tensor, " reply"]
    ) -> Float[Tensor, " reply"]:
        """The rewards as if every reply were of mean length."""
        return rewards - self.slope * (lengths - self.mean_length)


def fit_length(rewards: Float[Tensor, " reply"], lengths: Float[Tensor, " reply"]) -> LengthFit:
    """Fits rewards on lengths by least squares.

    Raises:
        DataError: all lengths are equal, so that there is no line.
    """
    y, x = rewards.double(), lengths.double()
    away = x - x.mean()
    squares = float(away.square().sum())
    if not squares > 0:
        raise DataError(
            "no line through replies of one length",
            expected="replies of at least two lengths",
            got=f"{len(x)} reply(ies), all of {float(x[0]):g} tokens" if len(x) else "no replies",
            remedy="fit on more replies, or leave the length out",
        )
    slope = float((away * (y - y.mean())).sum()) / squares
    return LengthFit(slope, float(y.mean()) - slope * float(x.mean()), float(x.mean()))


def held_out_residual(
    rewards: Float[Tensor, " reply"],
    lengths: Float[Tensor, " reply"],
    group: Int[Tensor, " reply"],
) -> Float[Tensor, " reply"]:
    """Residuals by lines that did not see the reply's own group, such as its prompt.

    For judging the residuals on the very replies that were fitted: a line that saw a reply takes
    part of its reward with it.

    Raises:
        DataError: without some group the lengths are all equal, or there is one group only.
    """
    residual = torch.empty_like(rewards)
    groups: list[int] = sorted(set(group.tolist()))
    for held_out in groups:
        inside = group == held_out
        fit = fit_length(rewards[~inside], lengths[~inside])
        residual[inside] = fit.residual(rewards[inside], lengths[inside])
    return residual


def pearson(x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> float:
    """Pearson correlation, from -1 to 1; nan where either does not vary."""
    a, b = (v.double() - v.double().mean() for v in (x, y))
    return float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt())
