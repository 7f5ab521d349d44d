"""Bradley-Terry reward model.

Christiano et al. 2017, arXiv:1706.03741, eq. 1; rankings as one batch element: Ouyang et al. 2022,
arXiv:2203.02155, eq. 1.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fairlead.objectives.base import Loss, Need, Objective
from fairlead.objectives.batch import PreferenceBatch, Scores, Totals
from fairlead.objectives.comparisons import comparison_losses, comparison_metrics


class BradleyTerry(Objective):
    """Fits a score whose differences are log-odds of being preferred.

    A ranking of K replies enters as all its untied pairs, each weighted by one over their number:
    every prompt counts once. Where the head holds several members, each is fitted by itself and
    the loss is their mean.
    """

    title: ClassVar[str] = "Bradley-Terry reward model"
    source: ClassVar[str] = "Christiano et al. 2017, arXiv:1706.03741"
    equation: ClassVar[str] = r"-\log\sigma(r(x, y_w) - r(x, y_l) - m)"
    choose: ClassVar[str] = (
        "The usual reward model: one score per reply, fitted to comparisons or rankings."
    )
    batch: ClassVar[type[PreferenceBatch]] = PreferenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REWARDS})
    head: ClassVar[str] = "scalar"

    kind: Literal["bradley_terry"] = "bradley_terry"
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Assumed probability that a label is flipped."""
    centring: NonNegativeFloat = 0.0
    """Weight of the squared sum of the two scores, which keeps their mean near 0 (Eisenstein et
    al. 2023, arXiv:2312.09244, eq. 2; 0.01 is usual)."""

    def __call__(self, scores: Scores, batch: PreferenceBatch, totals: Totals) -> Loss:
        """Mean over prompts of the mean over their pairs."""
        assert scores.rewards is not None
        each = scores.rewards[:, None] if scores.members is None else scores.members
        fits = [self._fit(rewards, batch) for rewards in each.unbind(1)]
        losses = torch.stack([fit for fit, _ in fits]).mean(0)
        penalties = torch.stack([penalty for _, penalty in fits]).mean(0)
        whole = (batch.weight * (losses + self.centring * penalties)).sum() / totals.groups
        return Loss(whole, comparison_metrics(self.kind, losses, scores.rewards, batch))

    def _fit(
        self, rewards: Float[Tensor, " sequence"], batch: PreferenceBatch
    ) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Loss and squared sum of each pair under one member."""
        better, worse = rewards[batch.better], rewards[batch.worse]
        losses = comparison_losses(better - worse, batch, smoothing=self.label_smoothing)
        return losses, (better + worse).square()
