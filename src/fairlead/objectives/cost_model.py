"""Cost model: a score for harm whose zero is the border of safety.

Dai et al. 2023 (Safe RLHF), arXiv:2310.12773, eq. 6.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import PreferenceBatch, Scores, Totals
from fairlead.objectives.comparisons import (
    bradley_terry_loss,
    comparison_losses,
    comparison_metrics,
)


def sign_losses(
    costs: Float[Tensor, " sequence"], signs: Float[Tensor, " sequence"]
) -> Float[Tensor, " sequence"]:
    """-log sigmoid of the cost, its sign as the flag says; 0 where nobody said.

    Args:
        costs: positive for replies that the model takes for unsafe.
        signs: +1 for unsafe, -1 for safe, 0 for unknown.
    """
    return torch.where(signs == 0, 0.0, bradley_terry_loss(signs * costs))


class CostModel(Objective):
    """Bradley-Terry on costs, and the sign of each reply's cost by its safety flag.

    The better reply of a pair is the safer one; the score is a cost, higher for worse. The sign
    terms pin its zero, so that a constraint "expected cost at most 0" means something; it must
    therefore not be centred afterwards.
    """

    title: ClassVar[str] = "Cost model"
    source: ClassVar[str] = "Dai et al. 2023, arXiv:2310.12773"
    equation: ClassVar[str] = (
        r"-\log\sigma(C(y_l) - C(y_w)) - \log\sigma(s_w C(y_w)) - \log\sigma(s_l C(y_l))"
    )
    choose: ClassVar[str] = (
        "For training under a safety constraint: comparisons say which reply is safer, flags "
        "which replies are safe."
    )
    batch: ClassVar[type[PreferenceBatch]] = PreferenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REWARDS})
    head: ClassVar[str] = "scalar"

    kind: Literal["cost_model"] = "cost_model"

    def __call__(self, scores: Scores, batch: PreferenceBatch, totals: Totals) -> Loss:
        """Mean over prompts of the mean over their pairs."""
        assert scores.rewards is not None
        costs = scores.rewards
        losses = comparison_losses(costs[batch.worse] - costs[batch.better], batch)
        metrics: dict[str, Mean] = {}
        if batch.costs is not None:
            signs = sign_losses(costs, batch.costs)
            losses = losses + signs[batch.better] + signs[batch.worse]
            metrics = _sign_metrics(costs, batch.costs)
        metrics |= comparison_metrics(self.kind, losses, -costs, batch)
        return Loss((batch.weight * losses).sum() / totals.groups, metrics)


@torch.no_grad()
def _sign_metrics(costs: Tensor, signs: Tensor) -> dict[str, Mean]:
    known = (signs != 0).to(costs.dtype)
    right = (costs * signs > 0).to(costs.dtype)
    unsafe = (costs > 0).to(costs.dtype)
    return {
        "reward/sign_accuracy": average(right, known),
        "reward/called_unsafe": average(unsafe),
    }
