"""Simple Preference Optimization. Meng et al. 2024, arXiv:2405.14734, eq. 6.

The margin is `gamma` itself, as in the paper. The authors' later code takes gamma / beta instead:
their gamma_beta_ratio of 0.25 with beta 2 is a gamma of 0.5 here.
"""

from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from fairlead.objectives.base import Need
from fairlead.objectives.pairs import PairObjective, Pairs


def simpo_loss(
    better: Float[Tensor, " pair"], worse: Float[Tensor, " pair"], *, beta: float, gamma: float
) -> Float[Tensor, " pair"]:
    """Per-pair loss of mean log-probabilities per token, in nats."""
    return -F.logsigmoid(beta * (better - worse) - gamma)


class SimPO(PairObjective):
    """Compares mean log-probabilities per token under the policy alone; no reference."""

    title: ClassVar[str] = "Simple Preference Optimization"
    source: ClassVar[str] = "Meng et al. 2024, arXiv:2405.14734"
    equation: ClassVar[str] = (
        r"-\log\sigma\left(\frac{\beta}{|y_w|}\log\pi(y_w) - \frac{\beta}{|y_l|}\log\pi(y_l)"
        r" - \gamma\right)"
    )
    choose: ClassVar[str] = (
        "When no reference fits into memory; nothing holds the policy near its start, so the "
        "learning rate must be small."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGPS})

    kind: Literal["simpo"] = "simpo"
    beta: PositiveFloat = 2.0
    """Scale of the mean log-probabilities."""
    gamma: NonNegativeFloat = 0.5
    """Margin to keep, on the scale of beta times nats per token. Not gamma / beta."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        return simpo_loss(
            pairs.better_per_token, pairs.worse_per_token, beta=self.beta, gamma=self.gamma
        )

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: beta times the mean log-probabilities."""
        return self.beta * pairs.better_per_token, self.beta * pairs.worse_per_token
