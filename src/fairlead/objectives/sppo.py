"""Self-Play Preference Optimization with hard labels. Wu et al. 2024, arXiv:2405.00675, eq. 4.8."""

from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.objectives.pairs import PairObjective, Pairs


def sppo_loss(
    better_ratio: Float[Tensor, " pair"], worse_ratio: Float[Tensor, " pair"], *, beta: float
) -> Float[Tensor, " pair"]:
    """Squared distances of both log-ratios, in nats, from +1 / (2 beta) and -1 / (2 beta)."""
    target = 1 / (2 * beta)
    return (better_ratio - target).square() + (worse_ratio + target).square()


class SPPO(PairObjective):
    """Gives each side of a pair a log-ratio of its own to reach, not only a difference.

    Unlike losses on the margin it cannot be lowered by making both replies less likely.
    """

    title: ClassVar[str] = "Self-Play Preference Optimization (hard labels)"
    source: ClassVar[str] = "Wu et al. 2024, arXiv:2405.00675"
    equation: ClassVar[str] = (
        r"\left(\log\frac{\pi(y_w)}{\pi_{ref}(y_w)} - \frac{1}{2\beta}\right)^2"
        r" + \left(\log\frac{\pi(y_l)}{\pi_{ref}(y_l)} + \frac{1}{2\beta}\right)^2"
    )
    choose: ClassVar[str] = (
        "When DPO lowers the probability of chosen replies too; in rounds, with the policy of the "
        "last round as reference."
    )

    kind: Literal["sppo"] = "sppo"
    beta: PositiveFloat = 0.1
    """Strength of the pull towards the reference: the targets are 1 / (2 beta) nats away."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        return sppo_loss(pairs.better_ratio, pairs.worse_ratio, beta=self.beta)

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: beta times the log-ratios."""
        return self.beta * pairs.better_ratio, self.beta * pairs.worse_ratio
