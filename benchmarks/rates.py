"""How fast this machine multiplies and reads, which is what floors are made of."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.work import Size

REPEATS = 15
GEMM = 2048
LARGE_BYTES = 512 * 2**20
ROW = 1024
BYTES = 4
"""Of a float32."""


@dataclass(frozen=True)
class Rates:
    """What was measured, float32, with all threads."""

    gemm_gflops: float
    """Of a product of square matrices."""
    memory_gbs: float
    """Reading what no cache holds."""
    weights_gbs: float
    """Reading as many bytes as the model's weights have, again and again."""


def measure(size: Size, threads: int) -> Rates:
    """Measures for a model of this size; takes a few seconds."""
    torch.set_num_threads(threads)
    a, b = torch.randn(GEMM, GEMM), torch.randn(GEMM, GEMM)
    gemm = 2 * GEMM**3 / _seconds(lambda: a @ b) / 1e9
    return Rates(gemm, _reading(LARGE_BYTES), _reading(BYTES * (size.body + size.head)))


def _reading(count: int) -> float:
    """GB per second."""
    matrix = torch.ones(count // BYTES // ROW, ROW)
    vector = torch.ones(ROW)
    return matrix.numel() * BYTES / _seconds(lambda: matrix @ vector) / 1e9


def _seconds(work: Callable[[], object]) -> float:
    """The least of several times: other work on the machine must not raise a floor."""
    work()
    return min(_timed(work) for _ in range(REPEATS))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
