"""Group relative policy optimisation. Shao et al. 2024 (DeepSeekMath), arXiv:2402.03300."""

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.functional.kl import k3, weighted_k3
from fairlead.objectives.base import Need, average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals
from fairlead.objectives.replies import ClippedRatios, clip_metrics, reply_means


class GRPO(ClippedRatios):
    """Clipped ratios per token, averaged within each reply and then over replies.

    The KL term is weighted by the ratio, which makes its gradient that of KL(policy || reference)
    both off and on the policy that sampled; without the weight it is that of KL(reference ||
    policy), as it was published.
    """

    title: ClassVar[str] = "Group relative policy optimisation"
    source: ClassVar[str] = "Shao et al. 2024, arXiv:2402.03300"
    equation: ClassVar[str] = (
        r"\mathbb{E}_i \tfrac{1}{|y_i|}\sum_t \left[\max(-A_i\rho_{i,t}, "
        r"-A_i\,\mathrm{clip}(\rho_{i,t}, 1-\epsilon, 1+\epsilon)) + \beta\rho_{i,t} k_3\right],"
        r"\quad A_i = \frac{r_i - \bar r}{\mathrm{std}(r)}"
    )
    choose: ClassVar[str] = (
        "Answers that can be checked, several replies per prompt, no critic; the standard that "
        "others start from. Long wrong replies cost less per token than short ones."
    )
    needs: ClassVar[frozenset[Need]] = ClippedRatios.needs | {Need.REFERENCE}
    rollouts: ClassVar[dict[str, Any]] = {
        "credit": {"kind": "group"},
        "samples": 8,
        "kl": {"coefficient": 0.0},
        "epochs": 1,
    }

    kind: Literal["grpo"] = "grpo"
    beta: NonNegativeFloat = 0.0
    """Weight of the KL to the reference, in the loss. DeepSeekMath had 0.04 against a learnt
    reward; a checked answer cannot be gamed by drifting, so later work has 0."""

    def surrogate(
        self, scores: Scores, batch: RolloutBatch, totals: Totals
    ) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
        """Mean over replies of the mean over their tokens."""
        assert scores.logps is not None and batch.reference is not None
        reply = ~batch.pretraining
        logps, reference, old = (x[reply] for x in (scores.logps, batch.reference, batch.old_logps))
        terms = self.clipped_tokens(scores, batch)
        policy = reply_means(terms.loss, batch)
        loss = policy.sum() / totals.sequences
        if self.beta:
            kl = reply_means(weighted_k3(logps, reference, old), batch)
            loss = loss + self.beta * kl.sum() / totals.sequences
        with torch.no_grad():
            divergence = average(k3(logps, reference))
        metrics = {"loss/policy": average(policy), "policy/kl_reference_k3": divergence}
        return loss, metrics | clip_metrics(terms, batch.advantages[reply])
