"""Decoupled clip and dynamic sampling. Yu et al. 2025 (DAPO), arXiv:2503.14476."""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals
from fairlead.objectives.replies import ClippedRatios, clip_metrics


class DAPO(ClippedRatios):
    """GRPO with more room above than below, every token of the batch weighing the same.

    Its other two parts are settings of the rollouts: `dynamic_sampling`, and the penalty on replies
    near the limit, `overlong`, whose buffer was a fifth of the limit.
    """

    title: ClassVar[str] = "Decoupled clip and dynamic sampling"
    source: ClassVar[str] = "Yu et al. 2025, arXiv:2503.14476"
    equation: ClassVar[str] = (
        r"\frac{1}{\sum_i |y_i|}\sum_i\sum_t \max(-A_i\rho_{i,t}, -A_i\,\mathrm{clip}(\rho_{i,t}, "
        r"1-\epsilon_{low}, 1+\epsilon_{high})), \quad A_i = \frac{r_i - \bar r}{\mathrm{std}(r)}"
    )
    choose: ClassVar[str] = (
        "As GRPO for long reasoning, where entropy collapses and many prompts are all right or all "
        "wrong."
    )
    rollouts: ClassVar[dict[str, Any]] = {
        "credit": {"kind": "group"},
        "samples": 16,
        "kl": {"coefficient": 0.0},
        "dynamic_sampling": {"max_rounds": 10},
        "overlong": {"factor": 1.0},
        "epochs": 1,
    }

    kind: Literal["dapo"] = "dapo"
    clip_high: PositiveFloat = 0.28
    """The ratio is held below 1 + clip_high: rare tokens of good replies may rise further."""

    def surrogate(
        self, scores: Scores, batch: RolloutBatch, totals: Totals
    ) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
        """Mean over all tokens of the step."""
        terms = self.clipped_tokens(scores, batch)
        metrics = clip_metrics(terms, batch.advantages[~batch.pretraining])
        loss = self.over_tokens(terms.loss, batch, totals)
        return loss, {"loss/policy": average(terms.loss)} | metrics
