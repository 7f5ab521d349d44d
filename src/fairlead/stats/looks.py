"""Looking at a run again and again: a fall that is told from noise, and the best look so far.

Whoever looks often enough sees a fall that is none, and the best of many noisy looks seems better
than it is. The chance of a wrong statement is therefore spent: look j (1, 2, ...; look 0 is the
start) may err with probability error / (j (j + 1)), which adds up to `error` over however many
looks there are, and the comparisons of one look share its part equally. No plan of when to stop is
needed, and the statements hold together whichever of them is acted on (Bonferroni).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fairlead.core.errors import DataError

ERROR = 0.05
"""Chance of any wrong statement over all looks."""


@dataclass(frozen=True)
class Fall:
    """The held-out score fell between two looks while the proxy rose."""

    since: int
    """The earlier look."""
    at: int
    """The later look: the first at which any fall is shown."""
    most: float
    """Upper bound of the change of the held-out score (below 0)."""
    rise: float
    """Lower bound of the change of the proxy (above 0)."""


def spent_at(look: int, error: float = ERROR) -> float:
    """Chance of error of all statements made at a look, from 1 on."""
    return error / (look * (look + 1))


def first_fall(held_out: ArrayLike, proxy: ArrayLike, *, error: float = ERROR) -> Fall | None:
    """The first look at which the held-out score is shown to have fallen while the proxy rose.

    Every look is compared with every earlier one, paired by prompt; the slope between the two is
    negative where its upper bound is (held-out), positive where its lower bound is (proxy). Where
    the held-out score never falls, a fall is shown with probability `error` at most, whatever the
    number of looks.

    Args:
        held_out: [look, prompt] scores by the reward that is not trained on.
        proxy: [look, prompt] scores by the reward that is.
        error: chance of a false fall over all looks.

    Returns:
        The fall with the lowest upper bound at that look; None where there is none.

    Raises:
        DataError: shapes differ, there are fewer than two prompts, or a score is not finite.
    """
    gold, trained = _tables(held_out, proxy)
    for at in range(1, len(gold)):
        tail = spent_at(at, error) / at
        _, most = _bounds(gold[at] - gold[:at], tail)
        least, _ = _bounds(trained[at] - trained[:at], tail)
        shown = (most < 0) & (least > 0)
        if shown.any():
            since = int(np.where(shown, most, np.inf).argmin())
            return Fall(since, at, float(most[since]), float(least[since]))
    return None


def lower_gains(held_out: ArrayLike, *, error: float = ERROR) -> NDArray[np.float64]:
    """Lower bound of each look's gain over the start, all of which hold together.

    So does the bound of whichever look is chosen by them.

    Args:
        held_out: [look, prompt] scores.
        error: chance that any of the bounds is too high.

    Returns:
        [look] bounds; 0 for the start.

    Raises:
        DataError: there are fewer than two prompts, or a score is not finite.
    """
    (gold,) = _tables(held_out)
    bounds = [0.0]
    for look in range(1, len(gold)):
        low, _ = _bounds(gold[look : look + 1] - gold[0], spent_at(look, error))
        bounds.append(float(low[0]))
    return np.array(bounds)


def best_look(held_out: ArrayLike, *, error: float = ERROR) -> int:
    """The look with the highest lower bound of its gain over the start; the first of equals.

    The start itself, where no look is shown to be better than it.
    """
    return int(lower_gains(held_out, error=error).argmax())


def _bounds(
    differences: NDArray[np.float64], tail: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One-sided t bounds, each with error `tail`, of the mean of every row."""
    prompts = differences.shape[1]
    means = differences.mean(axis=1)
    half = differences.std(axis=1, ddof=1) / np.sqrt(prompts) * stats.t.isf(tail, prompts - 1)
    return means - half, means + half


def _tables(*tables: ArrayLike) -> list[NDArray[np.float64]]:
    arrays = [np.asarray(table, dtype=np.float64) for table in tables]
    right = all(a.ndim == 2 and a.shape == arrays[0].shape and a.shape[1] > 1 for a in arrays)
    if not right or not all(np.isfinite(a).all() for a in arrays):
        raise DataError(
            "these looks cannot be compared",
            expected="[look, prompt] tables of one shape, with two or more prompts, all finite",
            got=", ".join(str(a.shape) for a in arrays),
            remedy="score the same held-out prompts at every look",
        )
    return arrays
