"""Proximal Policy Optimization for language models.

Schulman et al. 2017, arXiv:1707.06347, eq. 7 and 9; with pretraining text mixed in (PPO-ptx) as in
Ouyang et al. 2022, arXiv:2203.02155, eq. 2.
"""

from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from fairlead.functional.kl import k2, k3
from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals


class Clipped(NamedTuple):
    """A clipped loss per token, and where the clip was active."""

    loss: Float[Tensor, " row"]
    clipped: Bool[Tensor, " row"]


def ppo_policy_loss(
    logps: Float[Tensor, " row"],
    old_logps: Float[Tensor, " row"],
    advantages: Float[Tensor, " row"],
    *,
    clip_low: float,
    clip_high: float,
) -> Clipped:
    """Clipped surrogate per token: the worse of the free and the clipped ratio times -A."""
    ratio = torch.exp(logps - old_logps)
    free = -advantages * ratio
    bounded = -advantages * ratio.clamp(1 - clip_low, 1 + clip_high)
    return Clipped(torch.maximum(free, bounded), bounded > free)


def ppo_value_loss(
    values: Float[Tensor, " row"],
    old_values: Float[Tensor, " row"],
    returns: Float[Tensor, " row"],
    *,
    clip: float,
) -> Clipped:
    """Half the squared error per token, the worse of the free and the clipped prediction."""
    bounded_values = old_values + (values - old_values).clamp(-clip, clip)
    free, bounded = (values - returns).square(), (bounded_values - returns).square()
    return Clipped(0.5 * torch.maximum(free, bounded), bounded > free)


class PPO(Objective):
    """Clipped policy and value losses over the reply tokens, plus likelihood of pretraining text.

    Advantages, returns and the KL penalty come with the batch: credit is assigned where replies
    are sampled, not here.
    """

    title: ClassVar[str] = "Proximal Policy Optimization"
    source: ClassVar[str] = "Schulman et al. 2017, arXiv:1707.06347"
    batch: ClassVar[type[RolloutBatch]] = RolloutBatch
    needs: ClassVar[frozenset[Need]] = frozenset(
        {Need.LOGPS, Need.ENTROPY, Need.VALUES, Need.ROLLOUTS}
    )

    kind: Literal["ppo"] = "ppo"
    clip_low: PositiveFloat = 0.2
    """The ratio is held above 1 - clip_low."""
    clip_high: PositiveFloat = 0.2
    """The ratio is held below 1 + clip_high."""
    value_clip: PositiveFloat = 0.2
    """How far a value may move from its old prediction within one rollout batch."""
    value_coefficient: NonNegativeFloat = 0.1
    """Weight of the value loss (Ziegler et al. 2019)."""
    pretraining_coefficient: NonNegativeFloat = Field(default=27.8)
    """Weight of the mean log-likelihood of pretraining text, where the source mixes some in."""

    def __call__(self, scores: Scores, batch: RolloutBatch, totals: Totals) -> Loss:
        """Token mean over the whole step for each of the three terms."""
        assert scores.logps is not None and scores.values is not None and scores.entropy is not None
        reply = ~batch.pretraining
        logps, old_logps = scores.logps[reply], batch.old_logps[reply]
        policy = ppo_policy_loss(
            logps,
            old_logps,
            batch.advantages[reply],
            clip_low=self.clip_low,
            clip_high=self.clip_high,
        )
        values, returns = scores.values[reply], batch.returns[reply]
        value = ppo_value_loss(values, batch.old_values[reply], returns, clip=self.value_clip)
        nll = -scores.logps[batch.pretraining]
        loss = (policy.loss.sum() + self.value_coefficient * value.loss.sum()) / totals.rows
        if totals.pretraining_rows:
            loss = loss + self.pretraining_coefficient * nll.sum() / totals.pretraining_rows
        with torch.no_grad():
            metrics = {
                "loss/policy": average(policy.loss),
                "loss/value": average(value.loss),
                "policy/clip_fraction": average(policy.clipped.to(logps.dtype)),
                "policy/ratio": average((logps - old_logps).exp()),
                "policy/kl_old_k2": average(k2(old_logps, logps)),
                "policy/kl_old_k3": average(k3(old_logps, logps)),
                "policy/entropy": average(scores.entropy[reply]),
                "value/mean": average(values),
                "value/clip_fraction": average(value.clipped.to(logps.dtype)),
                "value/return": average(returns),
                "value/error_squared": average((values - returns).square()),
            }
            if totals.pretraining_rows:
                metrics["loss/pretraining_nll"] = average(nll)
        return Loss(loss, metrics)
