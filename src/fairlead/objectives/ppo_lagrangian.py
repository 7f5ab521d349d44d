"""PPO under a limit on the expected cost (Safe RLHF). Dai et al. 2023, arXiv:2310.12773."""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import Need, average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals
from fairlead.objectives.critic import critic_loss
from fairlead.objectives.replies import ClippedRatios, clip_metrics


class PPOLagrangian(ClippedRatios):
    """PPO with a second critic for the cost.

    The advantage comes with the batch and joins both, A = (A_R - lambda A_C) / (1 + lambda); the
    multiplier lambda rises while replies cost more than the limit allows.
    """

    title: ClassVar[str] = "PPO-Lagrangian"
    source: ClassVar[str] = "Dai et al. 2023, arXiv:2310.12773"
    equation: ClassVar[str] = (
        r"\mathbb{E}_t \max(-A_t\rho_t, -A_t\,\mathrm{clip}(\rho_t, 1-\epsilon, 1+\epsilon))"
        r" + \tfrac{c_v}{2}\mathbb{E}_t (V_t-R_t)^2 + \tfrac{c_c}{2}\mathbb{E}_t (C_t-R^C_t)^2,"
        r" \quad A = \frac{A^R - \lambda A^C}{1+\lambda}"
    )
    choose: ClassVar[str] = (
        "A reward to raise and a cost that must stay below a limit, when no fixed weight between "
        "the two is right all the way."
    )
    needs: ClassVar[frozenset[Need]] = ClippedRatios.needs | {Need.VALUES, Need.COST_VALUES}
    rollouts: ClassVar[dict[str, Any]] = {
        "credit": {"kind": "constrained_gae"},
        "kl": {"coefficient": 0.01},
        "cost": {},
        "reward_clip": 50.0,
        "epochs": 1,
    }

    kind: Literal["ppo_lagrangian"] = "ppo_lagrangian"
    value_clip: PositiveFloat = 5.0
    """How far a value, of reward or of cost, may move from its old prediction."""
    value_coefficient: NonNegativeFloat = 0.1
    """Weight of the value loss."""
    cost_value_coefficient: NonNegativeFloat = 0.1
    """Weight of the loss of the cost's values."""

    def surrogate(
        self, scores: Scores, batch: RolloutBatch, totals: Totals
    ) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
        """Token mean over the whole step for the policy and both critics."""
        assert scores.values is not None and scores.cost_values is not None
        assert batch.old_cost_values is not None and batch.cost_returns is not None
        terms = self.clipped_tokens(scores, batch)
        value, metrics = critic_loss(
            scores.values, batch.old_values, batch.returns, batch, clip=self.value_clip
        )
        cost, cost_metrics = critic_loss(
            scores.cost_values,
            batch.old_cost_values,
            batch.cost_returns,
            batch,
            clip=self.value_clip,
        )
        loss = (
            terms.loss.sum() + self.value_coefficient * value + self.cost_value_coefficient * cost
        ) / totals.rows
        metrics |= {_of_cost(name): mean for name, mean in cost_metrics.items()}
        metrics |= clip_metrics(terms, batch.advantages[~batch.pretraining])
        return loss, metrics | {"loss/policy": average(terms.loss)}


def _of_cost(name: str) -> str:
    area, own = name.split("/")
    return f"{area}/cost_{own}"
