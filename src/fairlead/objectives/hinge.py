"""Hinge loss on log-ratios to a reference.

SLiC-HF's calibration (Zhao et al. 2023, arXiv:2305.10425), normalised by the reference as in Liu et
al. 2023, arXiv:2309.06657.
"""

from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.objectives.pairs import PairObjective, Pairs


def hinge_loss(margin: Float[Tensor, " pair"], *, beta: float) -> Float[Tensor, " pair"]:
    """How far `margin`, in nats, falls short of 1 / beta, in units of 1 / beta."""
    return (1 - beta * margin).clamp(min=0.0)


class Hinge(PairObjective):
    """Pushes each pair until its margin is 1 / beta, then leaves it alone."""

    title: ClassVar[str] = "Hinge (SLiC)"
    source: ClassVar[str] = "Zhao et al. 2023, arXiv:2305.10425"
    equation: ClassVar[str] = r"\max(0, 1 - \beta h)"
    choose: ClassVar[str] = "When pairs that are already told apart should have no gradient at all."

    kind: Literal["hinge"] = "hinge"
    beta: PositiveFloat = 0.1
    """The margin, in nats, from which a pair is left alone is 1 / beta."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        return hinge_loss(pairs.margin, beta=self.beta)

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: beta times the log-ratios."""
        return self.beta * pairs.better_ratio, self.beta * pairs.worse_ratio
