"""ODIN: length is learned by a head of its own, which is then thrown away.

Chen et al. 2024, arXiv:2402.07319.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.functional.reductions import segment_sum
from fairlead.objectives.base import Loss, Need, Objective
from fairlead.objectives.batch import Packed, PreferenceBatch, Scores, Totals
from fairlead.objectives.comparisons import comparison_losses, comparison_metrics

FLAT = 1e-12
"""Variance below which nothing varies, so that there is no correlation."""


@dataclass(frozen=True)
class Moments:
    """Sums over a whole step of a score x against the length y."""

    count: float
    x: float
    y: float
    xx: float
    yy: float
    xy: float

    @property
    def varies(self) -> bool:
        """Whether both do, so that a correlation exists."""
        return min(self.variances) > FLAT

    @property
    def variances(self) -> tuple[float, float]:
        """Variances of score and length, divided by the count."""
        means = self.x / self.count, self.y / self.count
        return self.xx / self.count - means[0] ** 2, self.yy / self.count - means[1] ** 2

    @property
    def correlation(self) -> float:
        """Pearson correlation over the step; 0 where score or length is constant."""
        if not self.varies:
            return 0.0
        first, second = self.variances
        covariance = self.xy / self.count - self.x * self.y / self.count**2
        return covariance / (first * second) ** 0.5


def correlation_part(
    x: Float[Tensor, " sequence"], y: Float[Tensor, " sequence"], moments: Moments
) -> Float[Tensor, ""]:
    """A microbatch's part of the Pearson correlation over the whole step.

    The parts of a step sum to the correlation, and their gradients to its gradient in x: with the
    step's moments held fixed it is the quadratic that touches the correlation where they were
    taken.
    """
    if not moments.varies:
        return 0.0 * x.sum()
    first, second = moments.variances
    away = x - moments.x / moments.count
    straight = away * (y - moments.y / moments.count) / (first * second) ** 0.5
    curved = 0.5 * moments.correlation * (away.square() / first - 1)
    return (straight - curved).sum() / moments.count


class Odin(Objective):
    """Bradley-Terry on the sum of two scores, of which length is driven into the second.

    The correlations are those over the whole optimizer step, however it is cut into microbatches
    or spread over processes.
    """

    title: ClassVar[str] = "ODIN: reward model with a head for length"
    source: ClassVar[str] = "Chen et al. 2024, arXiv:2402.07319"
    equation: ClassVar[str] = (
        r"-\log\sigma(\Delta(r^Q + r^L)) + \lambda_L(|\rho(r^Q, |y|)| - \rho(r^L, |y|))"
        r" + \lambda_O\frac{|w_Q^\top w_L|}{\|w_Q\|\|w_L\|}"
    )
    choose: ClassVar[str] = (
        "When annotators favour long replies: the score used afterwards does not follow length."
    )
    batch: ClassVar[type[PreferenceBatch]] = PreferenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REWARDS, Need.LENGTH_REWARDS})
    head: ClassVar[str] = "quality_length"
    has_statistics: ClassVar[bool] = True

    kind: Literal["odin"] = "odin"
    length_coefficient: NonNegativeFloat = 1.0
    """Weight of the correlations with length: off the quality score, onto the length score."""
    orthogonality: NonNegativeFloat = 1.0
    """Weight of the cosine of the two heads' weights."""

    def statistics(self, scores: Scores, batch: PreferenceBatch) -> Float[Tensor, " sum"]:
        """Count, and sums of both scores and lengths, of their squares and products."""
        assert scores.rewards is not None
        assert scores.length_rewards is not None
        lengths = reply_lengths(batch.packed).double()
        quality, length = scores.rewards.double(), scores.length_rewards.double()
        products = [
            quality.square(), quality * lengths, length.square(), length * lengths, lengths.square()
        ]  # fmt: skip
        parts = [torch.ones_like(lengths), quality, length, lengths, *products]
        return torch.stack([part.sum() for part in parts])

    def __call__(self, scores: Scores, batch: PreferenceBatch, totals: Totals) -> Loss:
        """Mean over prompts, plus this microbatch's part of the correlations and the cosine."""
        assert scores.rewards is not None
        assert scores.length_rewards is not None
        both = scores.rewards + scores.length_rewards
        losses = comparison_losses(both[batch.better] - both[batch.worse], batch)
        lengths = reply_lengths(batch.packed).to(both.dtype)
        quality, length = _moments(totals.statistics)
        sign = 1.0 if quality.correlation >= 0 else -1.0
        follows = sign * correlation_part(scores.rewards, lengths, quality)
        follows = follows - correlation_part(scores.length_rewards, lengths, length)
        whole = (batch.weight * losses).sum() / totals.groups + self.length_coefficient * follows
        metrics = comparison_metrics(self.kind, losses, scores.rewards, batch)
        metrics["reward/length_correlation_quality"] = _shared(quality.correlation, both)
        metrics["reward/length_correlation_length"] = _shared(length.correlation, both)
        if scores.head_overlap is not None:
            share = batch.weight.sum() / totals.groups
            whole = whole + self.orthogonality * share * scores.head_overlap
            overlap = scores.head_overlap.detach()
            metrics["reward/head_overlap"] = Mean(overlap * len(both), len(both))
        return Loss(whole, metrics)


def reply_lengths(packed: Packed) -> Float[Tensor, " sequence"]:
    """Tokens of each reply, its EOS included."""
    ones = torch.ones_like(packed.rows, dtype=torch.float32)
    return segment_sum(ones, packed.row_sequence, packed.sequences)


def _moments(sums: Sequence[float]) -> tuple[Moments, Moments]:
    """Moments of the quality score and of the length score against length."""
    count, quality, length, y, quality_2, quality_y, length_2, length_y, yy = sums
    return (
        Moments(count, quality, y, quality_2, yy, quality_y),
        Moments(count, length, y, length_2, yy, length_y),
    )


def _shared(value: float, scores: Tensor) -> Mean:
    """A number of the whole step as a metric of each microbatch."""
    return Mean(value * len(scores), len(scores))
