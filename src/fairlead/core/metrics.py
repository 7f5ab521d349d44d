"""Metrics that add: a mean is kept as total and count until it is printed.

Totals may be Python floats or tensors; adding never forces a device to wait.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mean:
    """A mean in two parts, so that microbatches and ranks combine exactly."""

    total: Any
    count: Any

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(self.total + other.total, self.count + other.count)

    @property
    def value(self) -> float:
        """The mean; nan where nothing was counted."""
        count = float(self.count)
        return float(self.total) / count if count else float("nan")


def merge(parts: Iterable[Mapping[str, Mean]]) -> dict[str, Mean]:
    """Adds metrics of the same name over microbatches."""
    merged: dict[str, Mean] = {}
    for part in parts:
        for name, mean in part.items():
            merged[name] = merged[name] + mean if name in merged else mean
    return merged
