"""Proximal Policy Optimization for language models.

Schulman et al. 2017, arXiv:1707.06347, eq. 7 and 9; with pretraining text mixed in (PPO-ptx) as in
Ouyang et al. 2022, arXiv:2203.02155, eq. 2.
"""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import Need, average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals
from fairlead.objectives.critic import critic_loss
from fairlead.objectives.surrogate import Clipped, RolloutObjective, clipped_surrogate


def ppo_policy_loss(
    logps: Float[Tensor, " row"],
    old_logps: Float[Tensor, " row"],
    advantages: Float[Tensor, " row"],
    *,
    clip_low: float,
    clip_high: float,
) -> Clipped:
    """Clipped surrogate per token: the worse of the free and the clipped ratio times -A."""
    return clipped_surrogate(logps - old_logps, advantages, clip_low=clip_low, clip_high=clip_high)


class PPO(RolloutObjective):
    """Clipped policy and value losses over the reply tokens.

    Advantages, returns and the KL penalty come with the batch: credit is assigned where replies
    are sampled, not here.
    """

    title: ClassVar[str] = "Proximal Policy Optimization"
    source: ClassVar[str] = "Schulman et al. 2017, arXiv:1707.06347"
    equation: ClassVar[str] = (
        r"\mathbb{E}_t \max(-A_t\rho_t, -A_t\,\mathrm{clip}(\rho_t, 1-\epsilon, 1+\epsilon))"
        r" + \tfrac{c_v}{2}\mathbb{E}_t \max((V_t-R_t)^2, (V^{clip}_t-R_t)^2)"
    )
    choose: ClassVar[str] = (
        "A reward that can be asked at any time and a critic you can afford: credit per token, "
        "one reply per prompt is enough."
    )
    needs: ClassVar[frozenset[Need]] = RolloutObjective.needs | {Need.VALUES}
    rollouts: ClassVar[dict[str, Any]] = {"credit": {"kind": "gae"}}

    kind: Literal["ppo"] = "ppo"
    clip_low: PositiveFloat = 0.2
    """The ratio is held above 1 - clip_low."""
    clip_high: PositiveFloat = 0.2
    """The ratio is held below 1 + clip_high."""
    value_clip: PositiveFloat = 0.2
    """How far a value may move from its old prediction within one rollout batch."""
    value_coefficient: NonNegativeFloat = 0.1
    """Weight of the value loss (Ziegler et al. 2019)."""

    def surrogate(
        self, scores: Scores, batch: RolloutBatch, totals: Totals
    ) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
        """Token mean over the whole step for policy and value."""
        assert scores.logps is not None and scores.values is not None
        reply = ~batch.pretraining
        policy = ppo_policy_loss(
            scores.logps[reply],
            batch.old_logps[reply],
            batch.advantages[reply],
            clip_low=self.clip_low,
            clip_high=self.clip_high,
        )
        value, metrics = critic_loss(
            scores.values, batch.old_values, batch.returns, batch, clip=self.value_clip
        )
        loss = (policy.loss.sum() + self.value_coefficient * value) / totals.rows
        clipped = policy.clipped.to(policy.loss.dtype)
        own = {"loss/policy": average(policy.loss), "policy/clip_fraction": average(clipped)}
        return loss, metrics | own
