"""Rewards of self-play between a challenger, a solver and a frozen judge.

SCOPE: Kwan et al. 2026, arXiv:2605.31433.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairlead.core.errors import ConfigError


def tent(success: Float[Tensor, " n"], *, target: float = 0.5) -> Float[Tensor, " n"]:
    """Worth of a task by the solver's success at it: 1 at the target, 0 at both ends.

    `s / target` up to the target and `(1 - s) / (1 - target)` beyond it.

    Args:
        success: share of the task that the solver gets right, from 0 to 1.
        target: where a task is just hard enough, between 0 and 1.

    Raises:
        ConfigError: the target is not between 0 and 1.
    """
    if not 0 < target < 1:
        raise ConfigError(
            "the tent needs its top between 0 and 1",
            expected="0 < target < 1",
            got=str(target),
            remedy="SCOPE has 0.5",
        )
    return torch.minimum(success / target, (1 - success) / (1 - target))


def length_factor(
    lengths: Int[Tensor, " reply"], *, free: int, limit: int, floor: float = 0.05
) -> Float[Tensor, " reply"]:
    """What is left of a reply's accuracy by its length: 1 up to `free`, `floor` from `limit` on.

    In between it falls as half a cosine: `floor + (1 - floor) (1 + cos(pi t)) / 2`, where t runs
    from 0 to 1.

    Args:
        lengths: tokens of each reply.
        free: tokens that cost nothing.
        limit: tokens from which nothing more is lost.
        floor: the smallest factor.

    Raises:
        ConfigError: `free` is not below `limit`, or the floor is not within 0 and 1.
    """
    if not 0 <= free < limit or not 0 <= floor <= 1:
        raise ConfigError(
            "the length factor needs room to fall",
            expected="0 <= free < limit and 0 <= floor <= 1",
            got=f"free {free}, limit {limit}, floor {floor}",
            remedy="SCOPE has free 1024, limit 2048, floor 0.05",
        )
    way = ((lengths.double() - free) / (limit - free)).clamp(0.0, 1.0)
    return floor + (1 - floor) * (1 + torch.cos(math.pi * way)) / 2


def challenger_rewards(
    well_formed: Float[Tensor, " n"],
    success: Float[Tensor, " n"],
    *,
    target: float = 0.5,
    format_weight: float = 0.5,
) -> Float[Tensor, " n"]:
    """`format_weight * well_formed + tent(success)`, the latter for well-formed tasks only.

    Args:
        well_formed: 1 for texts that are a task which passes the judge's gates, otherwise 0.
        success: the solver's success at it; anything where there is no task.
        target: top of the tent.
        format_weight: worth of being a task at all.
    """
    return well_formed * (format_weight + tent(success, target=target))


def solver_rewards(
    well_formed: Float[Tensor, " n"],
    accuracy: Float[Tensor, " n"],
    factor: Float[Tensor, " n"],
    *,
    format_weight: float = 0.5,
) -> Float[Tensor, " n"]:
    """`format_weight * well_formed + accuracy * factor`.

    Args:
        well_formed: 1 for replies that give an answer as they should, otherwise 0.
        accuracy: what the judge says, from 0 to 1.
        factor: `length_factor` of the replies.
        format_weight: worth of an answer of the right form.
    """
    return format_weight * well_formed + accuracy * factor
