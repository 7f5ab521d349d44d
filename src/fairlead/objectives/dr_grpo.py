"""GRPO without its biases of length and difficulty (Dr. GRPO).

Liu et al. 2025, arXiv:2503.20783.
"""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals
from fairlead.objectives.replies import ClippedRatios, clip_metrics


class DrGRPO(ClippedRatios):
    """Clipped ratios per token, summed and divided by a constant: the longest reply allowed.

    Credit divides by no deviation, so the gradient is that of the expected reward, but for the
    clip and a constant.
    """

    title: ClassVar[str] = "GRPO done right"
    source: ClassVar[str] = "Liu et al. 2025, arXiv:2503.20783"
    equation: ClassVar[str] = (
        r"\frac{1}{N L_{max}}\sum_i\sum_t \max(-A_i\rho_{i,t}, "
        r"-A_i\,\mathrm{clip}(\rho_{i,t}, 1-\epsilon, 1+\epsilon)), \quad A_i = r_i - \bar r"
    )
    choose: ClassVar[str] = (
        "As GRPO, where wrong replies must not grow longer and hard prompts not weigh more."
    )
    rollouts: ClassVar[dict[str, Any]] = {
        "credit": {"kind": "group", "scale": "none"},
        "samples": 8,
        "kl": {"coefficient": 0.0},
        "epochs": 1,
    }

    kind: Literal["dr_grpo"] = "dr_grpo"

    def over_tokens(
        self, x: Float[Tensor, " token"], batch: RolloutBatch, totals: Totals
    ) -> Float[Tensor, ""]:
        """Sum over tokens, divided by the tokens that all replies could have had."""
        return x.sum() / (batch.budget * totals.sequences)

    def surrogate(
        self, scores: Scores, batch: RolloutBatch, totals: Totals
    ) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
        """Sum over tokens, divided by the tokens that all replies could have had."""
        terms = self.clipped_tokens(scores, batch)
        metrics = clip_metrics(terms, batch.advantages[~batch.pretraining])
        loss = self.over_tokens(terms.loss, batch, totals)
        return loss, {"loss/policy": average(terms.loss)} | metrics
