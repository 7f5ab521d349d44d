"""General preference model: preferences that may go in circles.

Zhang et al. 2024, arXiv:2410.02197.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import PreferenceBatch, Scores, Totals
from fairlead.objectives.comparisons import comparison_losses


def subspace_scores(
    a: Float[Tensor, "pair axis"], b: Float[Tensor, "pair axis"]
) -> Float[Tensor, "pair subspace"]:
    """How far a is preferred to b in each plane: a[2l-1] b[2l] - a[2l] b[2l-1].

    Swapping a and b turns the sign. Axes of one plane lie side by side.
    """
    return a[:, 0::2] * b[:, 1::2] - a[:, 1::2] * b[:, 0::2]


def preference_score(
    a: Float[Tensor, "pair axis"],
    b: Float[Tensor, "pair axis"],
    eigenvalues: Float[Tensor, "pair subspace"],
) -> Float[Tensor, " pair"]:
    """Log-odds (before the temperature) that a is preferred to b."""
    return (eigenvalues * subspace_scores(a, b)).sum(-1)


class GeneralPreference(Objective):
    """Fits an embedding whose rotated product is the log-odds of being preferred.

    With one plane and second coordinate 1 it is Bradley-Terry.
    """

    title: ClassVar[str] = "General preference model"
    source: ClassVar[str] = "Zhang et al. 2024, arXiv:2410.02197"
    equation: ClassVar[str] = (
        r"-\log\sigma\Big(\tfrac{1}{\tau}\sum_l\lambda_l(x)"
        r"(v_w^{2l-1} v_l^{2l} - v_w^{2l} v_l^{2l-1})\Big)"
    )
    choose: ClassVar[str] = (
        "When preferences are not one order: annotators of different taste, or choices in circles."
    )
    batch: ClassVar[type[PreferenceBatch]] = PreferenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.EMBEDDINGS})
    head: ClassVar[str] = "preference"

    kind: Literal["general_preference"] = "general_preference"
    temperature: PositiveFloat = 0.1
    """Divides the score; embeddings are not normalised, so it sets their scale."""

    def __call__(self, scores: Scores, batch: PreferenceBatch, totals: Totals) -> Loss:
        """Mean over prompts of the mean over their pairs."""
        assert scores.embeddings is not None
        assert scores.eigenvalues is not None
        better, worse = scores.embeddings[batch.better], scores.embeddings[batch.worse]
        score = preference_score(better, worse, scores.eigenvalues[batch.better])
        losses = comparison_losses(score / self.temperature, batch)
        with torch.no_grad():
            metrics = {
                "loss/general_preference": average(losses, batch.weight),
                "reward/accuracy": average((score > 0).to(score.dtype), batch.weight),
                "reward/margin": average(score / self.temperature, batch.weight),
                "reward/embedding_norm": average(scores.embeddings.square().sum(-1).sqrt()),
            }
        return Loss((batch.weight * losses).sum() / totals.groups, metrics)
