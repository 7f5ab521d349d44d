"""A limit on an expected cost, kept by a multiplier. Dai et al. 2023, arXiv:2310.12773."""

from math import exp

from jaxtyping import Float
from torch import Tensor


def log_space_multiplier(
    multiplier: float, mean_cost: float, *, rate: float, limit: float, maximum: float
) -> float:
    """The multiplier after a step on its logarithm: it stays above 0, and cannot reach it.

    Args:
        multiplier: the present one, above 0.
        mean_cost: mean cost per reply, usually over the last replies.
        rate: step of the logarithm per unit of violation and of multiplier.
        limit: the mean cost that is allowed.
        maximum: the largest multiplier.
    """
    return min(multiplier * exp(rate * (mean_cost - limit) * multiplier), maximum)


def projected_multiplier(
    multiplier: float, mean_cost: float, *, rate: float, limit: float, maximum: float
) -> float:
    """The multiplier after a plain step of size `rate * (mean_cost - limit)`, within 0 and maximum.

    It can reach 0, and leaves it as fast as it came.
    """
    return min(max(multiplier + rate * (mean_cost - limit), 0.0), maximum)


def constrained_advantages(
    reward: Float[Tensor, "*n"], cost: Float[Tensor, "*n"], multiplier: float
) -> Float[Tensor, "*n"]:
    """(A_reward - multiplier * A_cost) / (1 + multiplier): of one scale for any multiplier.

    The two advantages must be in the units of reward and cost, so neither may be whitened before.
    """
    return (reward - multiplier * cost) / (1 + multiplier)
