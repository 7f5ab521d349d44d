"""Matrix products of a few rows, as decoding has them, on a CPU.

Training lays weights out for products of many rows. With few rows every weight is read for little
work, and the library's kernels for plain weights wait for memory; oneDNN has kernels for weights
in blocks. The blocks are a second copy of the weights that lives as long as the sampling call, made
from the present weights, so nothing can go stale.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

FEW = 128
"""Rows up to which blocked weights are faster; prompts are read with the weights as they are."""

PAIR = 2
"""Rows up to which the weights as they are, times two columns, are faster than blocks; one column
alone takes a kernel that reads memory at half the speed."""

SMALL = 1 << 14
"""Weights of fewer elements stay as they are (adapters): a call costs more than the product."""


@contextmanager
def blocked(*models: nn.Module) -> Iterator[None]:
    """Within the block, linear layers of the models multiply few rows by faster kernels.

    Weights are blocked when a layer first meets few rows, and must not change before the end.
    Nothing happens off the CPU, in other precisions than float32, or without oneDNN.
    """
    modules = dict.fromkeys(module for model in models for module in model.modules())
    layers: list[Any] = [module for module in modules if _can_block(module)]
    for layer in layers:
        layer.forward = _Product(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["forward"]


def _can_block(module: nn.Module) -> bool:
    # Exact types: whoever derives from them (quantised layers, say) has a forward of its own.
    if type(module) not in (nn.Linear, Conv1D) or "forward" in module.__dict__:
        return False
    weight: Any = module.weight
    return (
        torch.backends.mkldnn.is_available()
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.numel() >= SMALL
    )


class _Product:
    """What a linear layer computes, by the kernel that suits the number of rows."""

    def __init__(self, layer: Any) -> None:
        self.plain: Callable[[Tensor], Tensor] = layer.forward
        weight: Tensor = layer.weight.detach()
        self.bias: Tensor | None = layer.bias
        self.weight = weight.t() if isinstance(layer, Conv1D) else weight
        """[out, in]."""
        self.blocks: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.numel() // x.shape[-1]
        if rows > FEW:
            return self.plain(x)
        if rows <= PAIR:
            return self._pair(x, rows) if self.weight.is_contiguous() else self.plain(x)
        if self.blocks is None:
            self.blocks = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous())
        return _multiply(x, self.blocks, self.bias, "none", [], "")

    def _pair(self, x: Tensor, rows: int) -> Tensor:
        columns = x.reshape(rows, -1)
        columns = columns if rows == PAIR else columns.repeat(PAIR, 1)
        # The transposed view, not a copy in its layout: that would take another kernel.
        out = torch.mm(self.weight, columns.t())[:, :rows].t().contiguous()
        out = out if self.bias is None else out + self.bias
        return out.view(*x.shape[:-1], -1)


_multiply: Any = torch.ops.mkldnn._linear_pointwise.default
