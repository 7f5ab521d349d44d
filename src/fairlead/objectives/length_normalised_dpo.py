"""DPO on log-ratios per token: long replies weigh no more than short ones.

Lambert et al. 2024 (Tulu 3), arXiv:2411.15124, eq. 6.
"""

from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.objectives.pairs import PairObjective, Pairs


class LengthNormalisedDPO(PairObjective):
    """DPO whose implicit reward is a mean over the tokens of a reply, not a sum."""

    title: ClassVar[str] = "Length-normalised DPO"
    source: ClassVar[str] = "Lambert et al. 2024, arXiv:2411.15124"
    equation: ClassVar[str] = (
        r"-\log\sigma\left(\frac{\beta}{|y_w|}\log\frac{\pi(y_w)}{\pi_{ref}(y_w)}"
        r" - \frac{\beta}{|y_l|}\log\frac{\pi(y_l)}{\pi_{ref}(y_l)}\right)"
    )
    choose: ClassVar[str] = (
        "Comparisons in which longer replies tend to win, when DPO makes the policy verbose."
    )

    kind: Literal["length_normalised_dpo"] = "length_normalised_dpo"
    beta: PositiveFloat = 5.0
    """Strength of the pull towards the reference, on means over tokens: about a reply's length
    times what DPO takes (Tulu 3 has 5)."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        better, worse = self.rewards(pairs)
        return -F.logsigmoid(better - worse)

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: beta times the log-ratios per token."""
        return self.beta * pairs.better_ratio_per_token, self.beta * pairs.worse_ratio_per_token
