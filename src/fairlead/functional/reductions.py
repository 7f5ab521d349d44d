"""Masked reductions. A mask is True where an entry counts."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def masked_mean(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean over the entries where `mask` is True; nan where there are none."""
    return torch.where(mask, x, 0.0).sum() / mask.sum()


def alone(x: Tensor) -> Tensor:
    """The sum over ranks where there is only one."""
    return x


def whiten(
    x: Float[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    *,
    shift_mean: bool = True,
    unbiased: bool = True,
    over_ranks: Callable[[Tensor], Tensor] = alone,
) -> Float[Tensor, "*shape"]:
    """Scales to variance 1 and, when `shift_mean`, to mean 0; entries outside the mask become 0.

    `over_ranks` adds a tensor over all processes, so that the whole batch is whitened at once.
    """
    count = over_ranks(mask.sum().to(x.dtype))
    mean = over_ranks(torch.where(mask, x, 0.0).sum()) / count
    squares = over_ranks(torch.where(mask, x - mean, 0.0).square().sum())
    scale = torch.rsqrt(squares / (count - 1 if unbiased else count).clamp(min=1) + 1e-8)
    white = (x - mean) * scale
    return torch.where(mask, white if shift_mean else white + mean, 0.0)


def segment_sum(
    x: Float[Tensor, " row"], segment: Int[Tensor, " row"], segments: int
) -> Float[Tensor, " segment"]:
    """Sums the rows of each segment, e.g. token log-probabilities into sequence ones."""
    return x.new_zeros(segments).index_add(0, segment, x)
