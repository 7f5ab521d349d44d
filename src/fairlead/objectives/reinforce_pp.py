"""REINFORCE++: no critic, advantages whitened over the whole batch. Hu 2025, arXiv:2501.03262."""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import average
from fairlead.objectives.batch import RolloutBatch, Scores, Totals
from fairlead.objectives.replies import ClippedRatios, clip_metrics


class ReinforcePP(ClippedRatios):
    """PPO's clipped policy loss per token, with credit that needs no critic and no group."""

    title: ClassVar[str] = "REINFORCE++"
    source: ClassVar[str] = "Hu 2025, arXiv:2501.03262"
    equation: ClassVar[str] = (
        r"\mathbb{E}_t \max(-A_t\rho_t, -A_t\,\mathrm{clip}(\rho_t, 1-\epsilon, 1+\epsilon)),"
        r"\quad A_t = \mathrm{whiten}\left(r - \beta\sum_{s\ge t} d_s\right)"
    )
    choose: ClassVar[str] = (
        "As PPO but without a critic, with as little as one reply per prompt; with several, credit "
        "`reinforce_pp_baseline` takes away how hard a prompt is."
    )
    rollouts: ClassVar[dict[str, Any]] = {
        "credit": {"kind": "reinforce_pp"},
        "kl": {"coefficient": 0.01},
        "reward_clip": 10.0,
        "epochs": 1,
    }

    kind: Literal["reinforce_pp"] = "reinforce_pp"

    def surrogate(
        self, scores: Scores, batch: RolloutBatch, totals: Totals
    ) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
        """Mean over tokens."""
        terms = self.clipped_tokens(scores, batch)
        metrics = clip_metrics(terms, batch.advantages[~batch.pretraining])
        return terms.loss.sum() / totals.rows, {"loss/policy": average(terms.loss)} | metrics
