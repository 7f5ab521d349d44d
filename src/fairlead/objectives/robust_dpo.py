"""Robust DPO: unbiased under labels flipped at a known rate.

Chowdhury et al. 2024, arXiv:2403.00409.
"""

from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor

from fairlead.objectives.pairs import PairObjective, Pairs


def robust_dpo_loss(
    margin: Float[Tensor, " pair"], *, beta: float, flip_rate: float
) -> Float[Tensor, " pair"]:
    """DPO loss whose mean over flips at `flip_rate` is the loss on clean labels.

    It has no lower bound: a pair may gain without end from a large margin.
    """
    right, flipped = F.logsigmoid(beta * margin), F.logsigmoid(-beta * margin)
    return (-(1 - flip_rate) * right + flip_rate * flipped) / (1 - 2 * flip_rate)


class RobustDPO(PairObjective):
    """DPO that corrects for the wrong labels instead of hedging against them."""

    title: ClassVar[str] = "Robust DPO"
    source: ClassVar[str] = "Chowdhury et al. 2024, arXiv:2403.00409"
    equation: ClassVar[str] = (
        r"\frac{-(1-\epsilon)\log\sigma(\beta h) + \epsilon\log\sigma(-\beta h)}{1-2\epsilon}"
    )
    choose: ClassVar[str] = (
        "Comparisons with a known share of wrong labels, when the policy should be "
        "that of clean labels."
    )

    kind: Literal["robust_dpo"] = "robust_dpo"
    beta: PositiveFloat = 0.1
    """Strength of the pull towards the reference; larger stays closer."""
    flip_rate: float = Field(default=0.1, ge=0, lt=0.5)
    """Probability that a label is flipped."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        return robust_dpo_loss(pairs.margin, beta=self.beta, flip_rate=self.flip_rate)

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: beta times the log-ratios."""
        return self.beta * pairs.better_ratio, self.beta * pairs.worse_ratio
