"""Bradley-Terry reward model. Christiano et al. 2017, arXiv:1706.03741, eq. 1; rankings as one
batch element: Ouyang et al. 2022, arXiv:2203.02155, eq. 1.
"""  # noqa: D205

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor

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


class BradleyTerry(Objective):
    """Fits a score whose differences are log-odds of being preferred.

    A ranking of K replies enters as all its untied pairs, each weighted by one over their number:
    every prompt counts once.
    """

    title: ClassVar[str] = "Bradley-Terry reward model"
    source: ClassVar[str] = "Christiano et al. 2017, arXiv:1706.03741"
    equation: ClassVar[str] = r"-\log\sigma(r(x, y_w) - r(x, y_l) - m)"
    choose: ClassVar[str] = (
        "The usual reward model: one score per reply, fitted to comparisons or rankings."
    )
    batch: ClassVar[type[PreferenceBatch]] = PreferenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REWARDS})

    kind: Literal["bradley_terry"] = "bradley_terry"
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Assumed probability that a label is flipped."""
    centring: NonNegativeFloat = 0.0
    """Weight of the squared sum of the two scores, which keeps their mean near 0 (Eisenstein et
    al. 2023, arXiv:2312.09244, eq. 2; 0.01 is usual)."""

    def __call__(self, scores: Scores, batch: PreferenceBatch, totals: Totals) -> Loss:
        """Mean over prompts of the mean over their pairs."""
        assert scores.rewards is not None
        better, worse = scores.rewards[batch.better], scores.rewards[batch.worse]
        margin = better - worse if batch.strength is None else better - worse - batch.strength
        losses = soft_label_loss(margin, self._labels(batch, margin))
        penalties = (better + worse).square()
        with torch.no_grad():
            metrics = {
                "loss/bradley_terry": average(losses, batch.weight),
                "reward/accuracy": average((better > worse).to(better.dtype), batch.weight),
                "reward/margin": average(better - worse, batch.weight),
                "reward/chosen": average(better, batch.weight),
                "reward/rejected": average(worse, batch.weight),
            }
        whole = (batch.weight * (losses + self.centring * penalties)).sum() / totals.groups
        return Loss(whole, metrics)

    def _labels(self, batch: PreferenceBatch, like: Tensor) -> Float[Tensor, " pair"]:
        """Probability that the better reply is the better one, after smoothing."""
        label = torch.ones_like(like) if batch.label is None else batch.label
        return label * (1 - self.label_smoothing) + (1 - label) * self.label_smoothing
