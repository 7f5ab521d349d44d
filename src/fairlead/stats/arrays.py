"""Checked input arrays, shared by all statistics."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairlead.core.errors import DataError

CONFIDENCE = 0.95
"""Level of every interval in this package."""

Clusters = Sequence[Hashable] | NDArray[np.generic]
"""One key per value; values of one key (a prompt, an annotator) are not independent."""


def finite(values: ArrayLike, name: str = "values") -> NDArray[np.float64]:
    """A one-dimensional array of finite numbers with at least one entry.

    Raises:
        DataError: it is empty, has another shape, or holds nan or infinity.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise DataError(
            f"no estimate from these {name}",
            expected="one dimension with at least one number",
            got=f"shape {array.shape}",
            remedy="check that the step before produced results",
        )
    if bad := int(np.sum(~np.isfinite(array))):
        raise DataError(
            f"{name} that are not numbers",
            expected="finite numbers",
            got=f"{bad} of {array.size} are nan or infinite",
            remedy="find where they arise; leaving them out would bias the estimate",
        )
    return array


def same_length(**named: NDArray[np.generic]) -> None:
    """Checks that arrays pair up.

    Raises:
        DataError: their first dimensions differ.
    """
    if len({len(array) for array in named.values()}) > 1:
        raise DataError(
            "arrays that should pair up differ in length",
            expected="one entry per unit in each",
            got=", ".join(f"{name}: {len(array)}" for name, array in named.items()),
            remedy="join them by prompt first",
        )


def codes(clusters: Clusters | None, length: int) -> NDArray[np.int64]:
    """Cluster numbers 0, 1, ... in order of appearance; without clusters each value is its own.

    Raises:
        DataError: there is not one key per value.
    """
    if clusters is None:
        return np.arange(length)
    keys: Iterable[Hashable] = clusters.tolist() if isinstance(clusters, np.ndarray) else clusters
    known: dict[Hashable, int] = {}
    numbers = np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)
    same_length(values=np.empty(length), clusters=numbers)
    return numbers


def too_few(what: str, units: int) -> DataError:
    """The error for an interval asked from a single independent unit."""
    return DataError(
        f"no interval for {what}: one unit shows no spread",
        expected="at least two independent values or clusters",
        got=str(units),
        remedy="measure on more prompts, or group by something finer",
    )


def by_key(keys: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Row numbers of each key."""
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(keys[order])) + 1) if len(keys) else []
