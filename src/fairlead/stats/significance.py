"""Exact tests of shares, the size they need, and corrections for many tests at once."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fairlead.core.errors import DataError
from fairlead.stats.arrays import CONFIDENCE

Side = Literal["two-sided", "greater", "less"]
POWER = 0.8
"""Chance of finding an effect at which a study is usually planned."""


def binomial_test(
    successes: int, n: int, chance: float = 0.5, *, side: Side = "two-sided"
) -> float:
    """Exact p-value of a count under a stated chance.

    Args:
        successes: from 0 to n.
        n: independent trials; none at all give 1.
        chance: of a success, under the null hypothesis.
        side: which deviations count against it.

    Raises:
        DataError: the counts contradict each other, or the chance is not from 0 to 1.
    """
    if not 0 <= successes <= n or not 0 <= chance <= 1:
        raise DataError(
            "no test of these counts",
            expected="from 0 to n successes and a chance from 0 to 1",
            got=f"{successes} successes in {n} trials, chance {chance}",
        )
    if not n:
        return 1.0
    return float(stats.binomtest(successes, n, chance, alternative=side).pvalue)


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values; those up to q have an expected share of false findings of q at most.

    Benjamini and Hochberg 1995, for independent or positively dependent tests.

    Args:
        p_values: [test], from 0 to 1.

    Raises:
        DataError: a value is not from 0 to 1.
    """
    p, order = _sorted(p_values)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    lowest = np.minimum.accumulate(steps[::-1])[::-1]
    return _back(np.minimum(lowest, 1), order)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values; any false one up to level a has a chance of a at most (Holm 1979).

    Args:
        p_values: [test], from 0 to 1; may depend on each other in any way.

    Raises:
        DataError: a value is not from 0 to 1.
    """
    p, order = _sorted(p_values)
    steps = p[order] * np.arange(len(p), 0, -1)
    return _back(np.minimum(np.maximum.accumulate(steps), 1), order)


def trials_to_see(share: float, *, against: float = 0.5, power: float = POWER) -> int:
    """Trials at which a two-sided test at 5 % finds a share of `share` with the given power.

    By the normal approximation with the variances of both hypotheses (Fleiss 1981, eq. 2.10,
    without continuity correction). 55 % against 50 % takes 783.

    Args:
        share: true share, other than `against`.
        against: share of the null hypothesis.
        power: chance of a finding.

    Raises:
        DataError: a share is not between 0 and 1, or the two are equal.
    """
    if not (0 < share < 1 and 0 < against < 1) or share == against:
        raise DataError(
            "no number of trials tells these shares apart",
            expected="two different shares between 0 and 1",
            got=f"{share} and {against}",
        )
    level, reach = stats.norm.ppf([(1 + CONFIDENCE) / 2, power])
    spread = level * np.sqrt(against * (1 - against)) + reach * np.sqrt(share * (1 - share))
    return int(np.ceil((spread / (share - against)) ** 2))


def share_seen(n: int, *, against: float = 0.5, power: float = POWER) -> float:
    """Smallest share above `against` that n trials find with the given power; see `trials_to_see`.

    Args:
        n: trials, at least 1.
        against: share of the null hypothesis.
        power: chance of a finding.

    Returns:
        The share; 1 where even that is not found so often.
    """
    low, high = against, 1 - 1e-9
    if trials_to_see(high, against=against, power=power) > n:
        return 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        enough = trials_to_see(middle, against=against, power=power) <= n
        low, high = (low, middle) if enough else (middle, high)
    return high


def _sorted(p_values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise DataError("p-values must be from 0 to 1, in one dimension", got=f"{p_values!r}"[:80])
    return p, np.argsort(p, kind="stable")


def _back(ordered: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    adjusted = np.empty_like(ordered)
    adjusted[order] = ordered
    return adjusted
