"""IPO on log-ratios per token, the form that most implementations have.

On Azar et al. 2023, arXiv:2310.12036; the mean over tokens as in TRL's `ipo` loss.
"""

from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.objectives.pairs import PairObjective, Pairs


class LengthNormalisedIPO(PairObjective):
    """IPO whose target is a margin per token, whatever the lengths of the replies."""

    title: ClassVar[str] = "IPO per token"
    source: ClassVar[str] = "Azar et al. 2023, arXiv:2310.12036, with token means as in TRL"
    equation: ClassVar[str] = (
        r"\left(\frac{1}{|y_w|}\log\frac{\pi(y_w)}{\pi_{ref}(y_w)}"
        r" - \frac{1}{|y_l|}\log\frac{\pi(y_l)}{\pi_{ref}(y_l)} - \frac{1}{2\tau}\right)^2"
    )
    choose: ClassVar[str] = (
        "As IPO, when replies differ much in length and the margin should not grow with them."
    )

    kind: Literal["length_normalised_ipo"] = "length_normalised_ipo"
    tau: PositiveFloat = 0.1
    """Strength of the pull towards the reference: the margin's target is 1 / (2 tau) nats per
    token, so values are larger than those of IPO on sums."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        margin = pairs.better_ratio_per_token - pairs.worse_ratio_per_token
        return (margin - 1 / (2 * self.tau)).square()

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: tau times the log-ratios per token."""
        return self.tau * pairs.better_ratio_per_token, self.tau * pairs.worse_ratio_per_token
