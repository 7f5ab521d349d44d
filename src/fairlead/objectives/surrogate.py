"""What the objectives on sampled replies share: text mixed in, and the metrics of the update."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import NonNegativeFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.functional.kl import k2, k3, weighted_k3
from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals


class Clipped(NamedTuple):
    """A clipped loss per token, sequence or macro action, and where the clip was active."""

    loss: Float[Tensor, " n"]
    clipped: Bool[Tensor, " n"]


def clipped_surrogate(
    log_ratio: Float[Tensor, " n"],
    advantages: Float[Tensor, " n"],
    *,
    clip_low: float,
    clip_high: float,
) -> Clipped:
    """The worse of the free and the clipped ratio times -A. Schulman et al. 2017, eq. 7."""
    ratio = torch.exp(log_ratio)
    free = -advantages * ratio
    bounded = -advantages * ratio.clamp(1 - clip_low, 1 + clip_high)
    return Clipped(torch.maximum(free, bounded), bounded > free)


class RolloutObjective(Objective):
    """An objective on replies that the policy sampled, whose credit comes with the batch.

    A subclass gives `surrogate`, the loss over the reply rows. Text that the source mixed in
    (PPO-ptx, Ouyang et al. 2022, eq. 2; replay of SFT data) adds its likelihood, whatever the
    objective.
    """

    batch: ClassVar[type[RolloutBatch]] = RolloutBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGPS, Need.ENTROPY, Need.ROLLOUTS})
    rollouts: ClassVar[dict[str, Any]] = {}
    """Settings of the rollout source that belong to the method, where the user gives no others."""

    pretraining_coefficient: NonNegativeFloat = 27.8
    """Weight of the mean log-likelihood of text, where the source mixes some in."""
    beta: NonNegativeFloat = 0.0
    """Weight of the KL to the reference in the loss; `rollouts.kl` puts one into the reward."""
    kl_estimator: Literal["k2", "k3", "weighted_k3"] = "weighted_k3"
    """What the KL in the loss is estimated by: `weighted_k3` has the gradient of KL(policy ||
    reference) whoever sampled, `k2` where the policy itself sampled; `k3`, as in DeepSeekMath, has
    that of KL(reference || policy). (`k1` has none on average, so it is not offered.)"""

    @abstractmethod
    def surrogate(
        self, scores: Scores, batch: RolloutBatch, totals: Totals
    ) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
        """The loss over all reply rows, divided by the totals, and the metrics of its own.

        Rows of pretraining text must not count: `batch.pretraining` marks them, `batch.replies`
        the sequences that are replies.
        """

    def over_tokens(
        self, x: Float[Tensor, " token"], batch: RolloutBatch, totals: Totals
    ) -> Float[Tensor, ""]:
        """How a quantity of the reply tokens becomes one number: their mean over the step."""
        return x.sum() / totals.rows

    def __call__(self, scores: Scores, batch: RolloutBatch, totals: Totals) -> Loss:
        """The surrogate loss, the KL in the loss, and the likelihood of text that was mixed in."""
        assert scores.logps is not None
        loss, metrics = self.surrogate(scores, batch, totals)
        if self.beta:
            kl = self._kl(scores, batch)
            loss = loss + self.beta * self.over_tokens(kl, batch, totals)
            metrics[f"policy/kl_reference_{self.kl_estimator}"] = average(kl)
        if totals.pretraining_rows:
            nll = -scores.logps[batch.pretraining]
            loss = loss + self.pretraining_coefficient * nll.sum() / totals.pretraining_rows
            metrics["loss/pretraining_nll"] = average(nll)
        return Loss(loss, metrics | _update_metrics(scores, batch))

    def _kl(self, scores: Scores, batch: RolloutBatch) -> Float[Tensor, " token"]:
        assert scores.logps is not None and batch.reference is not None
        reply = ~batch.pretraining
        logps, reference = scores.logps[reply], batch.reference[reply]
        if self.kl_estimator == "weighted_k3":
            return weighted_k3(logps, reference, batch.old_logps[reply])
        return {"k2": k2, "k3": k3}[self.kl_estimator](logps, reference)


@torch.no_grad()
def _update_metrics(scores: Scores, batch: RolloutBatch) -> dict[str, Mean]:
    """How far this update has moved from the policy that sampled."""
    assert scores.logps is not None
    reply = ~batch.pretraining
    logps, old_logps = scores.logps[reply], batch.old_logps[reply]
    metrics = {
        "policy/ratio": average((logps - old_logps).exp()),
        "policy/kl_old_k2": average(k2(old_logps, logps)),
        "policy/kl_old_k3": average(k3(old_logps, logps)),
    }
    if scores.entropy is not None:
        metrics["policy/entropy"] = average(scores.entropy[reply])
    return metrics
