"""What reward models fitted to comparisons share: the loss of a pair, and their metrics.

Bradley-Terry: Christiano et al. 2017, arXiv:1706.03741, eq. 1.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import average
from fairlead.objectives.batch import PreferenceBatch


def bradley_terry_loss(margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    """-log sigmoid of the score difference, better minus worse, in nats per pair."""
    return -F.logsigmoid(margin)


def soft_label_loss(
    margin: Float[Tensor, " pair"], label: Float[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    """Cross-entropy of the margin with `label`, the probability that "better" is better."""
    return -label * F.logsigmoid(margin) - (1 - label) * F.logsigmoid(-margin)


def comparison_losses(
    margin: Float[Tensor, " pair"], batch: PreferenceBatch, *, smoothing: float = 0.0
) -> Float[Tensor, " pair"]:
    """Loss of each pair as its annotators judged it: strengths as margins, labels as odds.

    Args:
        margin: score of the better reply less that of the worse.
        batch: says how much better, and how surely.
        smoothing: assumed probability that a label is flipped.
    """
    if batch.strength is not None:
        margin = margin - batch.strength
    label = torch.ones_like(margin) if batch.label is None else batch.label
    return soft_label_loss(margin, label * (1 - smoothing) + (1 - label) * smoothing)


def comparison_metrics(
    kind: str,
    losses: Float[Tensor, " pair"],
    rewards: Float[Tensor, " sequence"],
    batch: PreferenceBatch,
) -> dict[str, Mean]:
    """What every reward model fitted to comparisons reports."""
    better, worse = rewards.detach()[batch.better], rewards.detach()[batch.worse]
    return {
        f"loss/{kind}": average(losses, batch.weight),
        "reward/accuracy": average((better > worse).to(better.dtype), batch.weight),
        "reward/margin": average(better - worse, batch.weight),
        "reward/chosen": average(better, batch.weight),
        "reward/rejected": average(worse, batch.weight),
    }
