"""Identity Preference Optimization, on summed log-probabilities as its paper has it.

Azar et al. 2023, arXiv:2310.12036, eq. 17.
"""

from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.objectives.pairs import PairObjective, Pairs


def ipo_loss(margin: Float[Tensor, " pair"], *, tau: float) -> Float[Tensor, " pair"]:
    """Squared distance of `margin`, in nats, from its target 1 / (2 tau)."""
    return (margin - 1 / (2 * tau)).square()


class IPO(PairObjective):
    """Draws every margin to one finite size, so that certain labels are not overfitted."""

    title: ClassVar[str] = "Identity Preference Optimization"
    source: ClassVar[str] = "Azar et al. 2023, arXiv:2310.12036"
    equation: ClassVar[str] = r"\left(h - \frac{1}{2\tau}\right)^2"
    choose: ClassVar[str] = (
        "Few comparisons, or labels without noise, where DPO drives margins to infinity."
    )

    kind: Literal["ipo"] = "ipo"
    tau: PositiveFloat = 0.1
    """Strength of the pull towards the reference: the margin's target is 1 / (2 tau) nats, over
    the whole of both replies."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        return ipo_loss(pairs.margin, tau=self.tau)

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: tau times the log-ratios."""
        return self.tau * pairs.better_ratio, self.tau * pairs.worse_ratio
