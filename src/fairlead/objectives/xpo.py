"""Exploratory Preference Optimization. Xie et al. 2024, arXiv:2405.21046, algorithm 1.

Each pair holds a reply of the policy and one of the reference, judged while training; the
`explored` replies of a batch are the reference's.
"""

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from fairlead.objectives.base import Need
from fairlead.objectives.pairs import PairObjective, Pairs


def exploration_bonus(pairs: Pairs) -> Float[Tensor, " pair"]:
    """Log-probability, under the policy, of what the reference wrote; to be lowered."""
    return pairs.better_explored * pairs.better + pairs.worse_explored * pairs.worse


class XPO(PairObjective):
    """Online DPO that is paid for leaving what the reference would have said.

    alpha 0 is online DPO against the reference's replies.
    """

    title: ClassVar[str] = "Exploratory Preference Optimization"
    source: ClassVar[str] = "Xie et al. 2024, arXiv:2405.21046"
    equation: ClassVar[str] = (
        r"-\log\sigma(\beta h) + \alpha\log\pi(\tilde{y}|x),\quad \tilde{y}\sim\pi_{ref}"
    )
    choose: ClassVar[str] = (
        "Online, when the best replies are ones that the reference hardly ever writes."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGPS, Need.REFERENCE, Need.ROLLOUTS})
    rollouts: ClassVar[dict[str, Any]] = {"samples": 1}
    explores: ClassVar[bool] = True
    """The other side of each pair is sampled from the reference."""

    kind: Literal["xpo"] = "xpo"
    beta: PositiveFloat = 0.1
    """Strength of the pull towards the reference; larger stays closer."""
    alpha: NonNegativeFloat = 1e-5
    """Weight of the exploration bonus."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        return -F.logsigmoid(self.beta * pairs.margin) + self.alpha * exploration_bonus(pairs)

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: beta times the log-ratios."""
        return self.beta * pairs.better_ratio, self.beta * pairs.worse_ratio
