"""Bradley-Terry reward model. Christiano et al. 2017, arXiv:1706.03741, eq. 1; rankings as one
batch element: Ouyang et al. 2022, arXiv:2203.02155, eq. 1.
"""  # noqa: D205

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import PreferenceBatch, Scores, Totals


def bradley_terry_loss(margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    """-log sigmoid of the score difference, better minus worse, in nats per pair."""
    return -F.logsigmoid(margin)


def soft_label_loss(
    margin: Float[Tensor, " pair"], label: Float[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    """Cross-entropy of the margin with `label`, the probability that "better" is better."""
    return -label * F.logsigmoid(margin) - (1 - label) * F.logsigmoid(-margin)


def comparison_losses(
    margin: Float[Tensor, " pair"], batch: PreferenceBatch, *, smoothing: float = 0.0
) -> Float[Tensor, " pair"]:
    """Loss of each pair as its annotators judged it: strengths as margins, labels as odds.

    Args:
        margin: score of the better reply less that of the worse.
        batch: says how much better, and how surely.
        smoothing: assumed probability that a label is flipped.
    """
    if batch.strength is not None:
        margin = margin - batch.strength
    label = torch.ones_like(margin) if batch.label is None else batch.label
    return soft_label_loss(margin, label * (1 - smoothing) + (1 - label) * smoothing)


def comparison_metrics(
    kind: str,
    losses: Float[Tensor, " pair"],
    rewards: Float[Tensor, " sequence"],
    batch: PreferenceBatch,
) -> dict[str, Mean]:
    """What every reward model fitted to comparisons reports."""
    better, worse = rewards.detach()[batch.better], rewards.detach()[batch.worse]
    return {
        f"loss/{kind}": average(losses, batch.weight),
        "reward/accuracy": average((better > worse).to(better.dtype), batch.weight),
        "reward/margin": average(better - worse, batch.weight),
        "reward/chosen": average(better, batch.weight),
        "reward/rejected": average(worse, batch.weight),
    }


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
