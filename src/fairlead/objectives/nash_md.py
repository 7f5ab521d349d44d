"""Nash mirror descent: to win against a mixture of itself and the reference.

Munos et al. 2023, arXiv:2312.00886.
"""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals
from fairlead.objectives.replies import reply_sums
from fairlead.objectives.surrogate import RolloutObjective


class NashMD(RolloutObjective):
    """The policy gradient of the probability of winning, less a KL penalty at each token.

    There is no ratio and no clip: every rollout batch is used for one update.
    """

    title: ClassVar[str] = "Nash mirror descent"
    source: ClassVar[str] = "Munos et al. 2023, arXiv:2312.00886"
    equation: ClassVar[str] = (
        r"-\mathbb{E}_i \sum_t \left(P(y_i \succ y') - \tfrac12 - \beta d_{i,t}\right)"
        r"\log\pi(y_{i,t}), \quad y' \sim \pi^{1-\alpha}\pi_{ref}^{\alpha}"
    )
    choose: ClassVar[str] = (
        "Preferences that no scalar reward can express (cycles), with a model that compares two "
        "replies."
    )
    rollouts: ClassVar[dict[str, Any]] = {
        "credit": {"kind": "nash_md"},
        "kl": {"coefficient": 0.1},
        "opponent": 0.5,
        "epochs": 1,
        "minibatches": 1,
    }

    kind: Literal["nash_md"] = "nash_md"

    def surrogate(
        self, scores: Scores, batch: RolloutBatch, totals: Totals
    ) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
        """Sum over the tokens of each reply, mean over replies."""
        assert scores.logps is not None
        reply = ~batch.pretraining
        losses = reply_sums(-batch.advantages[reply] * scores.logps[reply], batch)
        return losses.sum() / totals.sequences, {"loss/policy": average(losses)}
