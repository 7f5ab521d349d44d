"""Bradley-Terry reward model. Christiano et al. 2017, arXiv:1706.03741, eq. 1; rankings as one
batch element: Ouyang et al. 2022, arXiv:2203.02155, eq. 1.
"""  # noqa: D205

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import PreferenceBatch, Scores, Totals


def bradley_terry_loss(margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    """-log sigmoid of the score difference, better minus worse, in nats per pair."""
    return -F.logsigmoid(margin)


class BradleyTerry(Objective):
    """Fits a score whose differences are log-odds of being preferred.

    A ranking of K replies enters as all its untied pairs, each weighted by one over their number:
    every prompt counts once.
    """

    title: ClassVar[str] = "Bradley-Terry reward model"
    source: ClassVar[str] = "Christiano et al. 2017, arXiv:1706.03741"
    batch: ClassVar[type[PreferenceBatch]] = PreferenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REWARDS})

    kind: Literal["bradley_terry"] = "bradley_terry"

    def __call__(self, scores: Scores, batch: PreferenceBatch, totals: Totals) -> Loss:
        """Mean over prompts of the mean over their pairs."""
        assert scores.rewards is not None
        better, worse = scores.rewards[batch.better], scores.rewards[batch.worse]
        losses = batch.weight * bradley_terry_loss(better - worse)
        with torch.no_grad():
            metrics = {
                "loss/bradley_terry": average(bradley_terry_loss(better - worse), batch.weight),
                "reward/accuracy": average((better > worse).to(better.dtype), batch.weight),
                "reward/margin": average(better - worse, batch.weight),
                "reward/chosen": average(better, batch.weight),
                "reward/rejected": average(worse, batch.weight),
            }
        return Loss(losses.sum() / totals.groups, metrics)
