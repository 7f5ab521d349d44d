"""Group relative policy optimisation. Shao et al. 2024 (DeepSeekMath), arXiv:2402.03300."""

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals
from fairlead.objectives.replies import ClippedRatios, clip_metrics, reply_means


class GRPO(ClippedRatios):
    """Clipped ratios per token, averaged within each reply and then over replies.

    DeepSeekMath put a KL into the loss, with weight 0.04 and estimator k3, against a learnt reward;
    a checked answer cannot be gamed by drifting, so later work has none.
    """

    title: ClassVar[str] = "Group relative policy optimisation"
    source: ClassVar[str] = "Shao et al. 2024, arXiv:2402.03300"
    equation: ClassVar[str] = (
        r"\mathbb{E}_i \tfrac{1}{|y_i|}\sum_t \left[\max(-A_i\rho_{i,t}, "
        r"-A_i\,\mathrm{clip}(\rho_{i,t}, 1-\epsilon, 1+\epsilon)) + \beta k_3\right],"
        r"\quad A_i = \frac{r_i - \bar r}{\mathrm{std}(r)}"
    )
    choose: ClassVar[str] = (
        "Answers that can be checked, several replies per prompt, no critic; the standard that "
        "others start from. Long wrong replies cost less per token than short ones."
    )
    rollouts: ClassVar[dict[str, Any]] = {
        "credit": {"kind": "group"},
        "samples": 8,
        "kl": {"coefficient": 0.0},
        "epochs": 1,
    }

    kind: Literal["grpo"] = "grpo"

    def over_tokens(
        self, x: Float[Tensor, " token"], batch: RolloutBatch, totals: Totals
    ) -> Float[Tensor, ""]:
        """Mean over replies of the mean over their tokens."""
        return reply_means(x, batch).sum() / totals.sequences

    def surrogate(
        self, scores: Scores, batch: RolloutBatch, totals: Totals
    ) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
        """Mean over replies of the mean over their tokens."""
        terms = self.clipped_tokens(scores, batch)
        with torch.no_grad():
            metrics = {"loss/policy": average(reply_means(terms.loss, batch))}
        loss = self.over_tokens(terms.loss, batch, totals)
        return loss, metrics | clip_metrics(terms, batch.advantages[~batch.pretraining])
