"""Matrix products of a few rows, as decoding has them, on a CPU.

Training lays weights out for products of many rows. With few rows every weight is read for little
work, and the library's kernels for plain weights wait for memory; oneDNN has kernels for weights
in blocks. The blocks are a second copy of the weights that lives as long as the sampling call, made
from the present weights, so nothing can go stale.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

FEW = 128
"""Rows up to which blocked weights are faster; prompts are read with the weights as they are."""

PAIR = 2
"""Rows up to which weights that come from memory are read faster as they are, times two columns;
one column alone takes a kernel that reads memory at half the speed."""

CACHED = 1 << 23
"""Elements of a model's weights that a processor's caches hold: more come from memory."""

SMALL = 1 << 17
"""Weights of fewer elements stay as they are: a call costs more than it saves."""


def can_block(weight: Tensor) -> bool:
    """Whether products with this weight have a faster kernel for few rows."""
    return (
        torch.backends.mkldnn.is_available()
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.numel() >= SMALL
    )


class Blocked:
    """Products of one input with some weights at once, by the kernel that suits the rows.

    Args:
        weights: [out, in] each; must not change while this lives.
        biases: [out] each, or none.
        cached: whether the model's weights are few enough for the processor's caches.
    """

    def __init__(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor] | None, *, cached: bool
    ) -> None:
        self.weights, self.biases = weights, biases
        self.pairs = not cached and all(weight.is_contiguous() for weight in weights)
        self.sizes = [len(weight) for weight in weights]
        self.blocks: Tensor | None = None
        self.bias = None if biases is None else torch.cat(list(biases))

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """From [..., in] to [..., out] of every weight."""
        rows = x.numel() // x.shape[-1]
        if rows > FEW:
            return self._added(F.linear(x, weight) for weight in self.weights)
        if rows <= PAIR and self.pairs:
            return self._columns(x, rows)
        if self.blocks is None:
            self.blocks = _reorder(torch.cat([weight.contiguous() for weight in self.weights]))
        out = _multiply(x, self.blocks, self.bias, "none", [], "")
        return out.split(self.sizes, -1) if len(self.sizes) > 1 else (out,)

    def _columns(self, x: Tensor, rows: int) -> tuple[Tensor, ...]:
        pair = x.reshape(rows, -1)
        # The transposed view, not a copy in its layout: that would take another kernel.
        columns = (pair if rows == PAIR else torch.cat([pair, pair])).t()
        outs = (torch.mm(weight, columns)[:, :rows].t().contiguous() for weight in self.weights)
        return self._added(out.view(*x.shape[:-1], -1) for out in outs)

    def _added(self, outs: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """With the biases."""
        if self.biases is None:
            return tuple(outs)
        return tuple(out + bias for out, bias in zip(outs, self.biases, strict=True))


class BlockedLayers:
    """Within `with`, linear layers of a model multiply few rows by the faster kernels.

    Args:
        model: its weights must not change while this lives.
    """

    def __init__(self, model: nn.Module) -> None:
        layers = [layer for layer in model.modules() if _multiplies(layer)]
        cached = fits_caches(_weight(layer) for layer in layers)
        self.products = {
            layer: Blocked([_weight(layer)], _biases(layer), cached=cached) for layer in layers
        }

    def __enter__(self) -> None:
        for layer, product in self.products.items():
            layer.forward = lambda x, product=product: product(x)[0]

    def __exit__(self, *_: object) -> None:
        for layer in self.products:
            del layer.__dict__["forward"]


def fits_caches(weights: Iterable[Tensor]) -> bool:
    """Whether a processor's caches hold all these weights."""
    return sum(weight.numel() for weight in weights) <= CACHED


def _multiplies(layer: nn.Module) -> bool:
    # Exact types: whoever derives from them (quantised layers, say) computes otherwise.
    plain = type(layer) in (nn.Linear, Conv1D) and "forward" not in layer.__dict__
    return plain and can_block(_weight(layer))


def _biases(layer: Any) -> list[Tensor] | None:
    return None if layer.bias is None else [layer.bias.detach()]


def _weight(layer: Any) -> Tensor:
    """[out, in]."""
    weight = layer.weight.detach()
    return weight.t() if isinstance(layer, Conv1D) else weight


_reorder: Any = torch.ops.mkldnn._reorder_linear_weight.default
_multiply: Any = torch.ops.mkldnn._linear_pointwise.default
