"""Masked reductions. A mask is True where an entry counts."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def masked_mean(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean over the entries where `mask` is True; nan where there are none."""
    return torch.where(mask, x, 0.0).sum() / mask.sum()


def masked_var(
    x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"], *, unbiased: bool = True
) -> Float[Tensor, ""]:
    """Variance over the entries where `mask` is True; divides by n - 1 when `unbiased`."""
    centred = torch.where(mask, x - masked_mean(x, mask), 0.0)
    count = mask.sum()
    return centred.square().sum() / (count - 1 if unbiased else count).clamp(min=1)


def whiten(
    x: Float[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    *,
    shift_mean: bool = True,
    unbiased: bool = True,
) -> Float[Tensor, "*shape"]:
    """Scales to variance 1 and, when `shift_mean`, to mean 0; entries outside the mask become 0."""
    mean = masked_mean(x, mask)
    white = (x - mean) * torch.rsqrt(masked_var(x, mask, unbiased=unbiased) + 1e-8)
    return torch.where(mask, white if shift_mean else white + mean, 0.0)


def segment_sum(
    x: Float[Tensor, " row"], segment: Int[Tensor, " row"], segments: int
) -> Float[Tensor, " segment"]:
    """Sums the rows of each segment, e.g. token log-probabilities into sequence ones."""
    return x.new_zeros(segments).index_add(0, segment, x)
