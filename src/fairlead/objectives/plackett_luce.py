"""Plackett-Luce reward model: the likelihood of whole rankings.

Plackett 1975; for language models Song et al. 2023 (PRO), arXiv:2306.17492, eq. 6.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.functional.reductions import segment_sum
from fairlead.objectives.base import Loss, Need, Objective
from fairlead.objectives.batch import PreferenceBatch, Scores, Totals
from fairlead.objectives.comparisons import comparison_metrics


def choice_losses(
    rewards: Float[Tensor, " sequence"], batch: PreferenceBatch
) -> Float[Tensor, " sequence"]:
    """-log probability of picking each reply among itself and all that are ranked below it.

    Over a ranking without ties the sum is the Plackett-Luce likelihood of the whole order. Replies
    of equal rank do not compete with each other.
    """
    ahead = rewards[batch.worse] - rewards[batch.better]
    none = torch.zeros_like(rewards)
    # The largest term, or 0 for the reply itself, keeps the exponentials in range.
    top = none.scatter_reduce(0, batch.better, ahead.detach(), "amax")
    rivals = segment_sum(torch.exp(ahead - top[batch.better]), batch.better, len(rewards))
    return top + torch.log(torch.exp(-top) + rivals)


class PlackettLuce(Objective):
    """Fits scores so that picking the best, then the best of the rest, gives the ranking."""

    title: ClassVar[str] = "Plackett-Luce reward model"
    source: ClassVar[str] = "Plackett 1975; Song et al. 2023, arXiv:2306.17492"
    equation: ClassVar[str] = r"\sum_{j=1}^{K-1}\Big(\log\sum_{k \ge j} e^{r_k} - r_j\Big)"
    choose: ClassVar[str] = (
        "For rankings that annotators made by picking the best of what is left; Bradley-Terry on "
        "all pairs suits rankings made of comparisons."
    )
    batch: ClassVar[type[PreferenceBatch]] = PreferenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REWARDS})
    head: ClassVar[str] = "scalar"

    kind: Literal["plackett_luce"] = "plackett_luce"

    def __call__(self, scores: Scores, batch: PreferenceBatch, totals: Totals) -> Loss:
        """Mean over prompts of the negative log-likelihood of their rankings."""
        assert scores.rewards is not None
        losses = choice_losses(scores.rewards, batch)
        pairwise = torch.zeros_like(batch.weight)
        metrics = comparison_metrics(self.kind, pairwise, scores.rewards, batch)
        metrics["loss/plackett_luce"] = Mean(losses.detach().sum(), batch.weight.sum())
        return Loss(losses.sum() / totals.groups, metrics)
