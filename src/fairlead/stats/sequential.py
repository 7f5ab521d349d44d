"""Looking at a gate again and again without passing it by luck.

A gate of 95 % that is looked at after every checkpoint is passed wrongly far more often than one
time in twenty. Either the error is spent in portions over looks planned beforehand (Lan and DeMets
1983), or the interval holds at all times at once (a confidence sequence).
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import brentq

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.stats.arrays import CONFIDENCE, finite

Spending = Literal["obrien_fleming", "pocock"]
"""Little at first and nearly all at the end; or about alike at every look."""

GRID = 801
"""Points of the numerical integration between the lowest place that matters and the boundary."""
REACH = 8.0
"""Standard deviations beyond which nothing is counted."""
BOLDEST = 0.5
"""Largest bet of a confidence sequence."""


def spent(fractions: ArrayLike, *, alpha: float, spending: Spending) -> NDArray[np.float64]:
    """One-sided error spent by each look.

    O'Brien-Fleming type: 2 - 2 Φ(z_{1 - alpha/2} / √t). Pocock type: alpha ln(1 + (e - 1) t). Lan
    and DeMets 1983.

    Args:
        fractions: [look] share of all the items that have been seen, rising, the last at most 1.
        alpha: error of all looks together, one-sided.
        spending: how it is spread.

    Raises:
        DataError: fractions that do not rise within 0 and 1, or an alpha outside 0 and 0.5.
    """
    t = finite(fractions, "fractions")
    if not 0 < alpha < 0.5 or t[0] <= 0 or t[-1] > 1 + 1e-12 or (np.diff(t) <= 0).any():
        raise DataError(
            "looks that cannot be planned",
            expected="shares of all items that rise from above 0 to at most 1; alpha below 0.5",
            got=f"{t.tolist()}, alpha {alpha}",
        )
    if spending == "pocock":
        return alpha * np.log1p((math.e - 1) * t)
    return 2 * stats.norm.sf(stats.norm.ppf(1 - alpha / 2) / np.sqrt(t))


def boundaries(
    fractions: ArrayLike, *, alpha: float = 0.05, spending: Spending = "obrien_fleming"
) -> NDArray[np.float64]:
    """z-value that each look must pass so that all looks together err with probability alpha.

    The density of the sum that has not passed yet is carried from look to look (Armitage,
    McPherson and Rowe 1969).

    Args:
        fractions: [look] share of all the items that have been seen, rising, the last at most 1.
        alpha: error of all looks together, one-sided.
        spending: how it is spread.

    Raises:
        DataError: as `spent`.
    """
    shares = finite(fractions, "fractions")
    portions = np.diff(spent(shares, alpha=alpha, spending=spending), prepend=0.0)
    steps = np.diff(shares, prepend=0.0)
    found: list[float] = []
    places, masses = np.zeros(1), np.ones(1)
    for share, step, portion in zip(shares, steps, portions, strict=True):
        widest = REACH * math.sqrt(share)

        def excess(
            border: float,
            at: NDArray[np.float64] = places,
            mass: NDArray[np.float64] = masses,
            wanted: float = portion,
            sd: float = math.sqrt(step),
        ) -> float:
            return float(mass @ stats.norm.sf((border - at) / sd)) - wanted

        root: Any = brentq(excess, -widest, widest) if excess(widest) < 0 else widest
        border = float(root)
        found.append(border / math.sqrt(share))
        places, masses = _carried(places, masses, math.sqrt(step), -widest, border)
    return np.array(found)


def look_levels(
    fractions: ArrayLike, *, alpha: float = 0.05, spending: Spending = "obrien_fleming"
) -> NDArray[np.float64]:
    """Confidence of the two-sided interval to use at each look, for any estimate with a `level`.

    A gate that reads these intervals passes wrongly at any look with probability alpha together,
    and fails wrongly likewise. One look gives 1 - 2 alpha.

    Args:
        fractions: [look] share of all the items that have been seen, rising, the last at most 1.
        alpha: error of all looks together, one-sided.
        spending: how it is spread.

    Raises:
        DataError: as `spent`.
    """
    return 1 - 2 * stats.norm.sf(boundaries(fractions, alpha=alpha, spending=spending))


def confidence_sequence(
    values: ArrayLike, *, bounds: tuple[float, float] = (0.0, 1.0), level: float = CONFIDENCE
) -> list[Estimate]:
    """Intervals of the mean after each value, all of which hold together with this confidence.

    One may stop whenever one likes. Predictable plug-in empirical Bernstein (Waudby-Smith and
    Ramdas 2023, arXiv:2010.09686, Theorem 2), each interval cut with those before it.

    Args:
        values: [item] independent, in the order they came.
        bounds: least and greatest value that is possible.
        level: confidence of all of them together.

    Raises:
        DataError: nothing, a nan, or a value outside the bounds.
    """
    array = finite(values)
    low, high = bounds
    if not low < high or array.min() < low or array.max() > high:
        raise DataError(
            "values outside their bounds",
            expected=f"from {low:g} to {high:g}",
            got=f"{array.min():g} to {array.max():g}",
            remedy="name the bounds that hold for every value there could be",
        )
    unit = (array - low) / (high - low)
    centres, halves = _empirical_bernstein(unit, 1 - level)
    lows = np.maximum.accumulate(np.maximum(centres - halves, 0.0))
    highs = np.minimum.accumulate(np.minimum(centres + halves, 1.0))
    means = np.cumsum(unit) / np.arange(1, unit.size + 1)
    stretched = [low + (high - low) * part for part in (means, lows, highs)]
    return [
        Estimate(
            value=float(mean),
            low=float(lowest),
            high=float(highest),
            n=n,
            method="confidence sequence, empirical Bernstein; holds at every n together",
            level=level,
        )
        for n, (mean, lowest, highest) in enumerate(zip(*stretched, strict=True), start=1)
    ]


def fractions_of(counts: Sequence[int], total: int) -> NDArray[np.float64]:
    """Share of all the items that have been seen at each look.

    Raises:
        DataError: counts that do not rise, or more items than planned.
    """
    if (
        not counts
        or counts[0] < 1
        or counts[-1] > total
        or any(b <= a for a, b in pairwise(counts))
    ):
        raise DataError(
            "looks that cannot be planned",
            expected=f"rising numbers of items up to {total}",
            got=str(list(counts)),
        )
    return np.array(counts) / total


def _carried(
    places: NDArray[np.float64], masses: NDArray[np.float64], sd: float, low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What has not passed the border, after a step of this spread, as masses on a new grid."""
    grid = np.linspace(low, high, GRID)
    weights = np.full(GRID, grid[1] - grid[0])
    # Simpson's rule: an even number of intervals.
    weights *= np.where(np.arange(GRID) % 2, 4, 2) / 3
    weights[[0, -1]] /= 2
    density = stats.norm.pdf((grid[:, None] - places) / sd) / sd @ masses
    return grid, density * weights


def _empirical_bernstein(
    unit: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and half widths; bets and variances at each value use only the values before it."""
    count = np.arange(1, unit.size + 1)
    means = (0.5 + np.cumsum(unit)) / (count + 1)
    variances = (0.25 + np.cumsum((unit - means) ** 2)) / (count + 1)
    mean_before = np.concatenate([[0.5], means[:-1]])
    variance_before = np.concatenate([[0.25], variances[:-1]])
    bets = np.sqrt(2 * math.log(2 / alpha) / (variance_before * count * np.log1p(count)))
    bets = np.minimum(bets, BOLDEST)
    costs = (-np.log1p(-bets) - bets) * (unit - mean_before) ** 2
    total = np.cumsum(bets)
    return np.cumsum(bets * unit) / total, (math.log(2 / alpha) + np.cumsum(costs)) / total
