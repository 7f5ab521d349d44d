"""REINFORCE leave-one-out. Ahmadian et al. 2024, arXiv:2402.14740."""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals
from fairlead.objectives.replies import (
    ClippedRatios,
    clip_metrics,
    log_ratios,
    reply_means,
    reply_sums,
)


class RLOO(ClippedRatios):
    """The whole reply is one action: one ratio, one advantage and one clip for each.

    The advantage of a reply is the mean of those of its tokens, which credit makes all alike.
    """

    title: ClassVar[str] = "REINFORCE leave-one-out"
    source: ClassVar[str] = "Ahmadian et al. 2024, arXiv:2402.14740"
    equation: ClassVar[str] = (
        r"\mathbb{E}_i \max(-A_i\rho_i, -A_i\,\mathrm{clip}(\rho_i, 1-\epsilon, 1+\epsilon)),"
        r"\quad \rho_i = \prod_t \rho_{i,t}, \quad A_i = r_i - \tfrac{1}{K-1}\sum_{j\neq i} r_j"
    )
    choose: ClassVar[str] = (
        "A reward for whole replies and no room for a critic: unbiased, and nothing to tune. "
        "Ratios of whole replies explode with length, so update once or twice per rollout batch."
    )
    rollouts: ClassVar[dict[str, Any]] = {
        "credit": {"kind": "leave_one_out"},
        "samples": 4,
        "kl": {"coefficient": 0.05},
        "epochs": 1,
    }

    kind: Literal["rloo"] = "rloo"

    def over_tokens(
        self, x: Float[Tensor, " token"], batch: RolloutBatch, totals: Totals
    ) -> Float[Tensor, ""]:
        """Mean over replies of the mean over their tokens."""
        return reply_means(x, batch).sum() / totals.sequences

    def surrogate(
        self, scores: Scores, batch: RolloutBatch, totals: Totals
    ) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
        """Mean over replies of one clipped term each."""
        advantages = reply_means(batch.advantages[~batch.pretraining], batch)
        log_ratio = reply_sums(log_ratios(scores, batch), batch)
        terms = self.clipped(log_ratio, advantages)
        metrics = {"loss/policy": average(terms.loss)} | clip_metrics(terms, advantages)
        return terms.loss.sum() / totals.sequences, metrics
