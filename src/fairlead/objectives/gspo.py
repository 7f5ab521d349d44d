"""Group sequence policy optimisation. Zheng et al. 2025, arXiv:2507.18071."""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals
from fairlead.objectives.replies import ClippedRatios, clip_metrics, log_ratios, reply_means


class GSPO(ClippedRatios):
    """One ratio for each reply, the geometric mean of its tokens' ratios, and one clip.

    The advantage of a reply is the mean of those of its tokens, which credit makes all alike.
    """

    title: ClassVar[str] = "Group sequence policy optimisation"
    source: ClassVar[str] = "Zheng et al. 2025, arXiv:2507.18071"
    equation: ClassVar[str] = (
        r"\mathbb{E}_i \max(-A_i s_i, -A_i\,\mathrm{clip}(s_i, 1-\epsilon_{low}, "
        r"1+\epsilon_{high})), \quad s_i = \left(\prod_t \rho_{i,t}\right)^{1/|y_i|}"
    )
    choose: ClassVar[str] = (
        "As GRPO, where single tokens' ratios are noisy: mixtures of experts, samplers that differ "
        "from the trainer. Clipping 10 to 20 % of the replies is normal."
    )
    rollouts: ClassVar[dict[str, Any]] = {
        "credit": {"kind": "group"},
        "samples": 8,
        "kl": {"coefficient": 0.0},
        "epochs": 1,
        "minibatches": 4,
    }

    kind: Literal["gspo"] = "gspo"
    clip_low: PositiveFloat = 3e-4
    """The ratio is held above 1 - clip_low; it is a mean over tokens, so it moves little."""
    clip_high: PositiveFloat = 4e-4
    """The ratio is held below 1 + clip_high."""

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
        terms = self.clipped(reply_means(log_ratios(scores, batch), batch), advantages)
        metrics = {"loss/policy": average(terms.loss)} | clip_metrics(terms, advantages)
        return terms.loss.sum() / totals.sequences, metrics
