"""Whether two nested values agree, leaf by leaf."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from .registry import NotOffered

TOLERANCE = 1e-6
"""Relative and absolute, in float64."""
MISSING = object()


class Difference(NamedTuple):
    """A leaf that is not as it should be."""

    path: str
    expected: Any
    got: Any


def differences(expected: Any, got: Any, path: str = "") -> Iterator[Difference]:
    """Every leaf of `expected` that `got` has not, or has otherwise; what else `got` has is free.

    Leaves that are not offered come with the `NotOffered` that says why.
    """
    got = got.tolist() if hasattr(got, "tolist") else got
    if isinstance(got, NotOffered):
        yield Difference(path, expected, got)
    elif isinstance(expected, dict):
        for key, part in expected.items():
            inner = got.get(key, MISSING) if isinstance(got, dict) else MISSING
            yield from differences(part, inner, f"{path}.{key}" if path else key)
    elif isinstance(expected, list):
        if not isinstance(got, (list, tuple)) or len(got) != len(expected):
            yield Difference(path, expected, got)
            return
        for i, (part, own) in enumerate(zip(expected, got, strict=True)):
            yield from differences(part, own, f"{path}[{i}]")
    elif not _equal(expected, got):
        yield Difference(path, expected, got)


def shown(value: Any) -> str:
    """A value for a line of output."""
    if value is MISSING:
        return "nothing"
    if isinstance(value, float):
        return f"{value:.10g}"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _equal(expected: Any, got: Any) -> bool:
    if not all(isinstance(x, (int, float)) for x in (expected, got)):
        return type(expected) is type(got) and expected == got
    if math.isnan(expected) or math.isinf(expected):
        return str(float(expected)) == str(float(got))
    return abs(got - expected) <= TOLERANCE * (1 + abs(expected))
