"""Multi-objective reward model: named dimensions, weighed by the prompt.

After Wang et al. 2024 (ArmoRM), arXiv:2406.12845.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import PreferenceBatch, Scores, Totals
from fairlead.objectives.comparisons import comparison_losses, comparison_metrics


def rating_errors(
    dimensions: Float[Tensor, "sequence dimension"], ratings: Float[Tensor, "sequence dimension"]
) -> Float[Tensor, " sequence"]:
    """Mean squared error of each reply over the dimensions it was rated in; 0 without any."""
    rated = ~ratings.isnan()
    errors = torch.where(rated, dimensions - ratings.nan_to_num(0.0), 0.0).square()
    return errors.sum(-1) / rated.sum(-1).clamp(min=1)


class MultiObjective(Objective):
    """Regression on ratings by dimension, and Bradley-Terry on their gated sum, at once."""

    title: ClassVar[str] = "Multi-objective reward model"
    source: ClassVar[str] = "Wang et al. 2024, arXiv:2406.12845"
    equation: ClassVar[str] = (
        r"-\log\sigma(\Delta\textstyle\sum_d g_d(x) r_d(x, y))"
        r" + c\,\mathbb{E}\,(r_d(x, y) - \rho_d)^2"
    )
    choose: ClassVar[str] = (
        "When replies are rated in several respects, and the score should say which of them it "
        "follows."
    )
    batch: ClassVar[type[PreferenceBatch]] = PreferenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REWARDS, Need.DIMENSIONS})
    head: ClassVar[str] = "dimensions"

    kind: Literal["multi_objective"] = "multi_objective"
    regression: NonNegativeFloat = 1.0
    """Weight of the squared error on ratings, averaged over a reply's rated dimensions."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Assumed probability that a label is flipped."""

    def __call__(self, scores: Scores, batch: PreferenceBatch, totals: Totals) -> Loss:
        """Mean over prompts of the comparison, plus mean over replies of the regression."""
        assert scores.rewards is not None
        assert scores.dimensions is not None
        margin = scores.rewards[batch.better] - scores.rewards[batch.worse]
        losses = comparison_losses(margin, batch, smoothing=self.label_smoothing)
        whole = (batch.weight * losses).sum() / totals.groups
        metrics = comparison_metrics(self.kind, losses, scores.rewards, batch)
        if batch.ratings is not None:
            errors = rating_errors(scores.dimensions, batch.ratings)
            whole = whole + self.regression * errors.sum() / totals.sequences
            rated = (~batch.ratings.isnan()).any(-1).to(errors.dtype)
            metrics["loss/rating_error"] = average(errors, rated)
        return Loss(whole, metrics)
