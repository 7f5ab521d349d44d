"""Which case is run by which adapter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Inputs = dict[str, Any]
Outputs = dict[str, Any]
Adapter = Callable[[Inputs], Outputs]

CASES: dict[str, Adapter] = {}
"""Adapters by the name of their case."""


@dataclass(frozen=True)
class NotOffered:
    """An output that belongs to another code base and that Fairlead has no form of."""

    reason: str


def case(name: str) -> Callable[[Adapter], Adapter]:
    """Enters an adapter; it imports the product inside, so that a missing part says so."""

    def entered(adapter: Adapter) -> Adapter:
        CASES[name] = adapter
        return adapter

    return entered


def as_tensors(value: Any) -> Any:
    """Lists of numbers of one shape become float64 tensors; everything else stays."""
    if isinstance(value, dict):
        return {key: as_tensors(part) for key, part in value.items()}
    if isinstance(value, list):
        try:
            return torch.tensor(value, dtype=torch.float64)
        except (TypeError, ValueError):
            return [as_tensors(part) for part in value]
    return value
