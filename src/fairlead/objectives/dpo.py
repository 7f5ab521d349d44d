"""Direct Preference Optimization. Rafailov et al. 2023, arXiv:2305.18290, eq. 7."""

from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.objectives.pairs import PairObjective, Pairs


def dpo_loss(margin: Float[Tensor, " pair"], *, beta: float) -> Float[Tensor, " pair"]:
    """Per-pair loss of `margin`: chosen minus rejected log-ratio to the reference, in nats."""
    return -F.logsigmoid(beta * margin)


class DPO(PairObjective):
    """Raises preferred replies over rejected ones relative to a frozen reference."""

    title: ClassVar[str] = "Direct Preference Optimization"
    source: ClassVar[str] = "Rafailov et al. 2023, arXiv:2305.18290"
    equation: ClassVar[str] = (
        r"-\log\sigma(\beta h),\quad h = \log\frac{\pi(y_w)}{\pi_{ref}(y_w)}"
        r" - \log\frac{\pi(y_l)}{\pi_{ref}(y_l)}"
    )
    choose: ClassVar[str] = (
        "The first thing to try on comparisons: one training run, no reward model, no sampling."
    )

    kind: Literal["dpo"] = "dpo"
    beta: PositiveFloat = 0.1
    """Strength of the pull towards the reference; larger stays closer."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        return dpo_loss(pairs.margin, beta=self.beta)

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: beta times the log-ratios."""
        return self.beta * pairs.better_ratio, self.beta * pairs.worse_ratio
