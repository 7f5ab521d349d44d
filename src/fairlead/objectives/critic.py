"""The value loss that objectives with a critic share.

Schulman et al. 2017, arXiv:1707.06347, eq. 9, clipped as in Ziegler et al. 2019, arXiv:1909.08593.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import average
from fairlead.objectives.batch import RolloutBatch
from fairlead.objectives.surrogate import Clipped


def ppo_value_loss(
    values: Float[Tensor, " row"],
    old_values: Float[Tensor, " row"],
    returns: Float[Tensor, " row"],
    *,
    clip: float,
) -> Clipped:
    """Half the squared error per token, the worse of the free and the clipped prediction."""
    bounded_values = old_values + (values - old_values).clamp(-clip, clip)
    free, bounded = (values - returns).square(), (bounded_values - returns).square()
    return Clipped(0.5 * torch.maximum(free, bounded), bounded > free)


def critic_loss(
    values: Float[Tensor, " row"],
    old_values: Float[Tensor, " row"],
    returns: Float[Tensor, " row"],
    batch: RolloutBatch,
    *,
    clip: float,
) -> tuple[Float[Tensor, ""], dict[str, Mean]]:
    """Sum of the value losses over reply tokens, and how well the critic predicts."""
    reply = ~batch.pretraining
    values, old_values, returns = values[reply], old_values[reply], returns[reply]
    value = ppo_value_loss(values, old_values, returns, clip=clip)
    with torch.no_grad():
        metrics = {
            "loss/value": average(value.loss),
            "value/mean": average(values),
            "value/clip_fraction": average(value.clipped.to(values.dtype)),
            "value/return": average(returns),
            "value/error_squared": average((values - returns).square()),
        }
    return value.loss.sum(), metrics
