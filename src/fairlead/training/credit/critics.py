"""Credit with a critic: generalised advantage estimation over tokens, macros, and two streams."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from fairlead.core.errors import ConfigError
from fairlead.core.metrics import Mean
from fairlead.functional.advantages import generalised_advantages, shaped_rewards
from fairlead.functional.lagrangian import constrained_advantages
from fairlead.functional.macros import Weights, macro_advantages, numbered, over_tokens
from fairlead.functional.reductions import whiten
from fairlead.objectives.base import Need
from fairlead.training.credit.base import Credit, CreditRule, Sampled
from fairlead.training.credit.boundaries import Boundaries, NGram


class _WithCritic(CreditRule):
    """What rules with a critic share."""

    needs: ClassVar[frozenset[Need]] = frozenset({Need.VALUES})

    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per token, or per macro action."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """Trace decay: 1 trusts the rewards alone, 0 the critic."""
    whiten: bool = True
    """Advantages get mean 0 and variance 1 over the whole rollout batch."""

    def _finished(self, advantages: Tensor, sampled: Sampled) -> Tensor:
        if not self.whiten:
            return advantages
        return whiten(advantages, sampled.mask, over_ranks=sampled.over_ranks)


class _Unconstrained(_WithCritic):
    whiten_rewards: bool = False
    """Token rewards are scaled to variance 1, their mean kept."""

    def _rewards(self, sampled: Sampled) -> Tensor:
        if not self.whiten_rewards:
            return sampled.rewards
        return whiten(
            sampled.rewards, sampled.mask, shift_mean=False, over_ranks=sampled.over_ranks
        )


class GAE(_Unconstrained):
    """Generalised advantage estimation per token. Schulman et al. 2015, arXiv:1506.02438."""

    kind: Literal["gae"] = "gae"

    def __call__(self, sampled: Sampled) -> Credit:
        """Credit per token."""
        advantages, returns = generalised_advantages(
            self._rewards(sampled), sampled.values, sampled.mask, gamma=self.gamma, lam=self.lam
        )
        return Credit(self._finished(advantages, sampled), returns)


class MacroGAE(_Unconstrained):
    """Generalised advantage estimation over macro actions. Chai et al. 2024, arXiv:2410.02743.

    Every token of a macro gets its macro's advantage and return.
    """

    kind: Literal["macro_gae"] = "macro_gae"
    boundaries: Boundaries = NGram()
    """Where macros begin."""
    weights: Weights = "equal"
    """How a macro's value is made from those of its tokens: their mean ("equal"), the last one
    ("unit"), or one that counts the first tokens most ("position")."""

    def __call__(self, sampled: Sampled) -> Credit:
        """Credit per macro, spread over its tokens."""
        macros = numbered(self.boundaries(sampled))
        credit = macro_advantages(
            self._rewards(sampled),
            sampled.values,
            sampled.mask,
            macros,
            gamma=self.gamma,
            lam=self.lam,
            weights=self.weights,
        )
        advantages, returns = (over_tokens(x, sampled.mask, macros) for x in credit)
        count = torch.where(sampled.mask, macros, -1).amax(1).add(1).sum()
        return Credit(
            self._finished(advantages, sampled),
            returns,
            macros=macros,
            metrics={"rollout/macro_length": Mean(sampled.mask.sum(), count)},
        )


class ConstrainedGAE(_WithCritic):
    """Two estimates, of reward and of cost, joined by the multiplier. Dai et al. 2023.

    The KL penalty is taken from the reward and added to the cost, so that it weighs the same
    whatever the multiplier. Only the joint advantage is whitened: whitening each would change what
    the multiplier trades. Source: arXiv:2310.12773.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.VALUES, Need.COST_VALUES})

    kind: Literal["constrained_gae"] = "constrained_gae"

    def __call__(self, sampled: Sampled) -> Credit:
        """Credit per token.

        Raises:
            ConfigError: nothing says what replies cost.
        """
        if sampled.costs is None or sampled.cost_values is None:
            raise ConfigError(
                "credit 'constrained_gae' needs costs, and nothing says what replies cost",
                expected="a cost model and a second value head",
                remedy="name a cost model in the stage and set rollouts.cost",
            )
        costs = shaped_rewards(
            sampled.costs,
            sampled.logp,
            sampled.reference,
            sampled.mask,
            kl_coefficient=-sampled.kl_coefficient,
        )
        traces = {"gamma": self.gamma, "lam": self.lam}
        reward = generalised_advantages(sampled.rewards, sampled.values, sampled.mask, **traces)
        cost = generalised_advantages(costs, sampled.cost_values, sampled.mask, **traces)
        joint = constrained_advantages(reward[0], cost[0], sampled.multiplier)
        return Credit(self._finished(joint, sampled), reward[1], cost_returns=cost[1])
