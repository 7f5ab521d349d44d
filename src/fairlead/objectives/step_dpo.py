"""Step-DPO: DPO on single reasoning steps. Lai et al. 2024, arXiv:2406.18629, eq. 3.

What sets it apart is the data: the prompt ends in the right steps so far, and the replies are one
right and one wrong next step, without EOS. Only the tokens of that step carry loss.
"""

from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.objectives.pairs import PairObjective, Pairs


class StepDPO(PairObjective):
    """Prefers the right next step of a solution to the first wrong one."""

    title: ClassVar[str] = "Step-DPO"
    source: ClassVar[str] = "Lai et al. 2024, arXiv:2406.18629"
    equation: ClassVar[str] = (
        r"-\log\sigma\left(\beta\log\frac{\pi(s_w|x, s_{<k})}{\pi_{ref}(s_w|x, s_{<k})}"
        r" - \beta\log\frac{\pi(s_l|x, s_{<k})}{\pi_{ref}(s_l|x, s_{<k})}\right)"
    )
    choose: ClassVar[str] = (
        "Long chains of reasoning whose first wrong step is known: the right steps before it are "
        "not punished."
    )

    kind: Literal["step_dpo"] = "step_dpo"
    beta: PositiveFloat = 0.5
    """Strength of the pull towards the reference; larger than for whole replies, as in the
    authors' scripts, since a step has fewer tokens."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair of steps."""
        return -F.logsigmoid(self.beta * pairs.margin)

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit rewards: beta times the log-ratios of the steps."""
        return self.beta * pairs.better_ratio, self.beta * pairs.worse_ratio
