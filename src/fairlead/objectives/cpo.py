"""Contrastive Preference Optimization. Xu et al. 2024, arXiv:2401.08417, eq. 5."""

from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from fairlead.objectives.base import Need
from fairlead.objectives.pairs import PairObjective, Pairs


def cpo_preference_loss(
    better: Float[Tensor, " pair"], worse: Float[Tensor, " pair"], *, beta: float
) -> Float[Tensor, " pair"]:
    """-log sigmoid of beta times the difference of summed log-probabilities, in nats."""
    return -F.logsigmoid(beta * (better - worse))


class CPO(PairObjective):
    """DPO with a uniform reference, held by the likelihood of the chosen replies instead.

    The likelihood term is the mean over pairs of the chosen reply's mean loss per token.
    """

    title: ClassVar[str] = "Contrastive Preference Optimization"
    source: ClassVar[str] = "Xu et al. 2024, arXiv:2401.08417"
    equation: ClassVar[str] = (
        r"-\log\sigma(\beta(\log\pi(y_w) - \log\pi(y_l))) - \frac{\alpha}{|y_w|}\log\pi(y_w)"
    )
    choose: ClassVar[str] = (
        "Chosen replies good enough to imitate (as in translation), and no reference in memory."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGPS})

    kind: Literal["cpo"] = "cpo"
    beta: PositiveFloat = 0.1
    """Scale of the summed log-probabilities."""
    alpha: NonNegativeFloat = 1.0
    """Weight of the chosen replies' likelihood."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        preference = cpo_preference_loss(pairs.better, pairs.worse, beta=self.beta)
        return preference - self.alpha * pairs.better_per_token

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: beta times the log-probabilities."""
        return self.beta * pairs.better, self.beta * pairs.worse
