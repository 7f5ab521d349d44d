"""PPO over macro actions (MA-RLHF). Chai et al. 2024, arXiv:2410.02743."""

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.functional.reductions import segment_sum
from fairlead.objectives.base import Need, average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals
from fairlead.objectives.critic import critic_loss
from fairlead.objectives.replies import ClippedRatios, clip_metrics, log_ratios


def macro_sums(
    x: Float[Tensor, " token"], batch: RolloutBatch
) -> tuple[Float[Tensor, " macro"], Float[Tensor, " macro"]]:
    """Sums over each macro action of the replies, and how many tokens each has."""
    assert batch.macros is not None
    owner, most = batch.macros[~batch.pretraining], batch.macros.shape[0]
    count = segment_sum(torch.ones_like(x), owner, most)
    return segment_sum(x, owner, most)[count > 0], count[count > 0]


class MacroPPO(ClippedRatios):
    """PPO whose actions are stretches of tokens: one ratio, one advantage, one clip for each.

    The critic learns the return of the macro at every one of its tokens. Macros of one token are
    PPO.
    """

    title: ClassVar[str] = "PPO over macro actions"
    source: ClassVar[str] = "Chai et al. 2024, arXiv:2410.02743"
    equation: ClassVar[str] = (
        r"\mathbb{E}_\omega \max(-A_\omega\rho_\omega, "
        r"-A_\omega\,\mathrm{clip}(\rho_\omega, 1-\epsilon, 1+\epsilon))"
        r" + \tfrac{c_v}{2}\mathbb{E}_t \max((V_t-R_\omega)^2, (V^{clip}_t-R_\omega)^2),"
        r" \quad \rho_\omega = \prod_{t\in\omega}\rho_t"
    )
    choose: ClassVar[str] = (
        "As PPO for long replies, where the way from a token to the score at the end is too far to "
        "credit."
    )
    needs: ClassVar[frozenset[Need]] = ClippedRatios.needs | {Need.VALUES}
    rollouts: ClassVar[dict[str, Any]] = {
        "credit": {"kind": "macro_gae"},
        "kl": {"coefficient": 0.05},
        "epochs": 1,
    }

    kind: Literal["macro_ppo"] = "macro_ppo"
    value_clip: PositiveFloat = 0.2
    """How far a value may move from its old prediction within one rollout batch."""
    value_coefficient: NonNegativeFloat = 0.1
    """Weight of the value loss."""

    def surrogate(
        self, scores: Scores, batch: RolloutBatch, totals: Totals
    ) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
        """Mean over macro actions for the policy, over tokens for the values."""
        assert scores.values is not None
        log_ratio, tokens = macro_sums(log_ratios(scores, batch), batch)
        advantages = macro_sums(batch.advantages[~batch.pretraining], batch)[0] / tokens
        terms = self.clipped(log_ratio, advantages)
        value, metrics = critic_loss(
            scores.values, batch.old_values, batch.returns, batch, clip=self.value_clip
        )
        loss = terms.loss.sum() / totals.macros + self.value_coefficient * value / totals.rows
        own = {"loss/policy": average(terms.loss), "policy/macro_length": average(tokens)}
        return loss, own | clip_metrics(terms, advantages) | metrics
