"""Conservative DPO: some labels are assumed flipped. Mitchell 2023, on DPO (arXiv:2305.18290)."""

from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor

from fairlead.objectives.pairs import PairObjective, Pairs


def conservative_dpo_loss(
    margin: Float[Tensor, " pair"], *, beta: float, flip_rate: float
) -> Float[Tensor, " pair"]:
    """Expected DPO loss when a share `flip_rate` of the labels is the wrong way round.

    Least at a finite margin, where sigma(beta * margin) = 1 - flip_rate.
    """
    right, flipped = F.logsigmoid(beta * margin), F.logsigmoid(-beta * margin)
    return -(1 - flip_rate) * right - flip_rate * flipped


class ConservativeDPO(PairObjective):
    """DPO that stops pushing once a pair is as certain as its labels can be."""

    title: ClassVar[str] = "Conservative DPO"
    source: ClassVar[str] = "Mitchell 2023, A note on DPO with noisy preferences"
    equation: ClassVar[str] = r"-(1-\epsilon)\log\sigma(\beta h) - \epsilon\log\sigma(-\beta h)"
    choose: ClassVar[str] = (
        "Comparisons with a known share of wrong labels, when margins must not grow without end."
    )

    kind: Literal["conservative_dpo"] = "conservative_dpo"
    beta: PositiveFloat = 0.1
    """Strength of the pull towards the reference; larger stays closer."""
    flip_rate: float = Field(default=0.1, ge=0, lt=0.5)
    """Assumed probability that a label is flipped."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        return conservative_dpo_loss(pairs.margin, beta=self.beta, flip_rate=self.flip_rate)

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: beta times the log-ratios."""
        return self.beta * pairs.better_ratio, self.beta * pairs.worse_ratio
