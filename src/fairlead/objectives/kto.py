"""Kahneman-Tversky Optimization: replies judged one by one.

Ethayarajh et al. 2024, arXiv:2402.01306, eq. 8.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.functional.reductions import segment_sum
from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import Packed, Scores, Totals, UnpairedBatch


def kto_loss(
    ratio: Float[Tensor, " reply"],
    desirable: Float[Tensor, " reply"],
    *,
    beta: float,
    reference_point: float,
) -> Float[Tensor, " reply"]:
    """Loss of each reply, between 0 and 1, before its kind's weight.

    Args:
        ratio: log-ratio of policy to reference, in nats.
        desirable: 1 for desirable replies, 0 for others.
        beta: strength of the pull towards the reference.
        reference_point: z0, the log-ratio that replies are measured against, in nats.
    """
    return torch.sigmoid((2 * desirable - 1) * beta * (reference_point - ratio))


class KTO(Objective):
    """Makes desirable replies likelier and others less likely, without pairs.

    Replies are measured against z0, how far the policy has moved on replies that do not belong to
    their prompts: the mean over the whole optimizer step, then not below 0, without gradient.
    """

    title: ClassVar[str] = "Kahneman-Tversky Optimization"
    source: ClassVar[str] = "Ethayarajh et al. 2024, arXiv:2402.01306"
    equation: ClassVar[str] = (
        r"w_D\,(1-\sigma(\beta(r - z_0)))\ \mathrm{or}\ w_U\,(1-\sigma(\beta(z_0 - r))),\quad"
        r" r = \log\frac{\pi(y|x)}{\pi_{ref}(y|x)},\ z_0 = \max(0, \mathbb{E}\, r(x, y'))"
    )
    choose: ClassVar[str] = (
        "Thumbs up and down on single replies, or comparisons where one of the two kinds is rare."
    )
    batch: ClassVar[type[UnpairedBatch]] = UnpairedBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGPS, Need.REFERENCE})
    has_statistics: ClassVar[bool] = True

    kind: Literal["kto"] = "kto"
    beta: PositiveFloat = 0.1
    """Strength of the pull towards the reference; larger stays closer."""
    desirable_weight: PositiveFloat = 1.0
    """Weight of desirable replies; weights times counts of the two kinds should be between 1:1
    and 4:3."""
    undesirable_weight: PositiveFloat = 1.0
    """Weight of the others."""

    def preview(self, batch: UnpairedBatch) -> Packed:
        """The mismatched pairs."""
        return batch.mismatched

    def statistics(self, scores: Scores, batch: UnpairedBatch) -> Float[Tensor, " sum"]:
        """Sum of the mismatched log-ratios, and how many they are."""
        assert scores.logps is not None
        packed = batch.mismatched
        logps = segment_sum(scores.logps, packed.row_sequence, packed.sequences)
        ratios = (logps - batch.mismatched_reference).double()
        return torch.stack([ratios.sum(), torch.ones_like(ratios).sum()])

    def __call__(self, scores: Scores, batch: UnpairedBatch, totals: Totals) -> Loss:
        """Mean over all replies of the step, of whichever kind."""
        assert scores.logps is not None
        packed = batch.packed
        logps = segment_sum(scores.logps, packed.row_sequence, packed.sequences)
        ratio = logps - batch.reference
        good = batch.desirable.to(ratio.dtype)
        drift = totals.statistics[0] / totals.statistics[1]
        weight = good * self.desirable_weight + (1 - good) * self.undesirable_weight
        losses = weight * kto_loss(ratio, good, beta=self.beta, reference_point=max(drift, 0.0))
        kinds = {"desirable": good, "undesirable": 1 - good}
        metrics = {"loss/kto": average(losses)}
        for name, marks in kinds.items():
            metrics[f"reward/{name}"] = average(self.beta * ratio, marks)
            metrics[f"policy/logp_{name}"] = average(logps, marks)
        count = packed.sequences
        metrics |= {
            "policy/log_ratio_abs": average(ratio.abs()),
            "policy/reference_point": Mean(max(drift, 0.0) * count, count),
            "policy/reference_point_clamped": Mean(float(drift < 0) * count, count),
        }
        return Loss(losses.sum() / totals.sequences, metrics)
