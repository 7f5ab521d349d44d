"""What objectives on sampled replies share: sums over replies, and ratios that are clipped."""

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.functional.reductions import segment_sum
from fairlead.objectives.base import average
from fairlead.objectives.batch import RolloutBatch, Scores
from fairlead.objectives.surrogate import Clipped, RolloutObjective, clipped_surrogate

LARGEST_LOG_RATIO = 20.0
"""The log-ratio of many tokens is held below this before `exp`, which would overflow."""


def reply_sums(x: Float[Tensor, " token"], batch: RolloutBatch) -> Float[Tensor, " reply"]:
    """Sums over the tokens of each reply; `x` has the rows that are not pretraining text."""
    owner = batch.packed.row_sequence[~batch.pretraining]
    return segment_sum(x, owner, batch.packed.sequences)[batch.replies]


def reply_means(x: Float[Tensor, " token"], batch: RolloutBatch) -> Float[Tensor, " reply"]:
    """Means over the tokens of each reply."""
    return reply_sums(x, batch) / reply_sums(torch.ones_like(x), batch)


def log_ratios(scores: Scores, batch: RolloutBatch) -> Float[Tensor, " token"]:
    """Log-ratio of each reply token to the policy that sampled it, in nats."""
    assert scores.logps is not None
    reply = ~batch.pretraining
    return scores.logps[reply] - batch.old_logps[reply]


class ClippedRatios(RolloutObjective):
    """An objective that holds ratios near 1, be they of tokens, replies or macro actions."""

    clip_low: PositiveFloat = 0.2
    """The ratio is held above 1 - clip_low."""
    clip_high: PositiveFloat = 0.2
    """The ratio is held below 1 + clip_high."""

    def clipped(self, log_ratio: Float[Tensor, " n"], advantages: Float[Tensor, " n"]) -> Clipped:
        """One term for each ratio."""
        return clipped_surrogate(
            log_ratio.clamp(max=LARGEST_LOG_RATIO),
            advantages,
            clip_low=self.clip_low,
            clip_high=self.clip_high,
        )

    def clipped_tokens(self, scores: Scores, batch: RolloutBatch) -> Clipped:
        """One term for each reply token."""
        return self.clipped(log_ratios(scores, batch), batch.advantages[~batch.pretraining])


@torch.no_grad()
def clip_metrics(terms: Clipped, advantages: Float[Tensor, " n"]) -> dict[str, Mean]:
    """Shares of terms that the clip has stopped: in all, bad ones from below, good ones above."""
    stopped = terms.clipped.to(advantages.dtype)
    return {
        "policy/clip_fraction": average(stopped),
        "policy/clip_low_fraction": average(stopped * (advantages < 0)),
        "policy/clip_high_fraction": average(stopped * (advantages > 0)),
    }
