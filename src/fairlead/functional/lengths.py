"""Penalties on the length of replies."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairlead.core.errors import ConfigError


def overlong_penalty(
    lengths: Int[Tensor, " reply"], *, limit: int, buffer: int, factor: float = 1.0
) -> Float[Tensor, " reply"]:
    """Soft punishment of replies that come near the limit, to be added to their reward.

    Yu et al. 2025 (DAPO), arXiv:2503.14476, eq. 13: 0 up to `limit - buffer` tokens, from there
    down in a straight line to `-factor` at `limit`, and `-factor` beyond.

    Args:
        lengths: tokens of each reply.
        limit: tokens after which a reply is cut off.
        buffer: tokens before the limit over which the punishment grows.
        factor: the greatest punishment, in units of reward.

    Returns:
        Float64, so that no precision is lost before it meets the rewards.

    Raises:
        ConfigError: the buffer is not within 1 to `limit`, or the factor is negative.
    """
    if not 1 <= buffer <= limit or factor < 0:
        raise ConfigError(
            "the overlong penalty needs a buffer within the limit and a factor of 0 or more",
            expected="1 <= buffer <= limit and factor >= 0",
            got=f"limit {limit}, buffer {buffer}, factor {factor}",
            remedy="DAPO has limit 20480, buffer 4096, factor 1",
        )
    beyond = (lengths.to(torch.float64) - (limit - buffer)) / buffer
    return -factor * beyond.clamp(0.0, 1.0)
