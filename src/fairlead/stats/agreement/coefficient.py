"""An agreement as a number with its interval, and what all of them share."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.stats.resampling import Interval, bootstrap_of_sums

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

MOST_LEVELS = 60
"""Most different labels for coefficients that look at every pair of labels."""


class Coefficient(BaseModel):
    """An agreement with its 95 % interval, or the reason why there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Items (or clusters of items) behind the value."""
    method: str = ""
    """How the interval was made, in words."""
    seed: int | None = None
    why: str = ""
    """Why the value or its interval is missing; empty where both are there."""

    def __str__(self) -> str:
        if self.value is None:
            return f"undefined: {self.why}"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}, no interval: {self.why}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.n})"


def estimated(
    name: str,
    statistic: Callable[[Floats], Floats],
    rows: Any,
    seed: Seed,
    *,
    interval: Interval = "bca",
) -> Coefficient:
    """A coefficient with its bootstrap interval, or the reason why there is none.

    Args:
        name: of the coefficient.
        statistic: from sums [..., d] to the value, nan where it is undefined.
        rows: [unit, d] what each item, or cluster of items, adds to the sums.
        seed: of the bootstrap.
        interval: how it is made of the resamples.
    """
    value = float(statistic(np.asarray(rows.sum(axis=0)).ravel()))
    if not np.isfinite(value):
        return Coefficient(name=name, n=rows.shape[0], why="no disagreement is possible by chance")
    try:
        found: Estimate = bootstrap_of_sums(statistic, rows, seed=seed, interval=interval)
    except DataError as error:
        reason = error.what if not error.got else f"{error.what} ({error.got})"
        return Coefficient(name=name, value=value, n=rows.shape[0], why=reason)
    return Coefficient(name=name, **found.model_dump(exclude={"level"}))


def ratio(observed: Floats, expected: Floats) -> Floats:
    """1 - observed / expected; nan where nothing is expected."""
    none = expected <= 1e-12
    return np.where(none, np.nan, 1 - observed / np.where(none, 1, expected))


def one_label(n: int) -> str:
    """Why there is no agreement beyond chance where everybody gave one label."""
    return f"all {n} labels are the same, so agreement by chance is certain"
