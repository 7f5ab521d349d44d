"""Means and paired differences with t intervals, cluster-robust where units share a cluster."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fairlead.core.estimates import Estimate
from fairlead.stats.arrays import CONFIDENCE, Clusters, codes, finite, same_length, too_few


def mean_estimate(
    values: ArrayLike, *, clusters: Clusters | None = None, level: float = CONFIDENCE
) -> Estimate:
    """Mean with a t interval.

    With clusters the standard error adds up residuals within each cluster before squaring (the
    sandwich with the small-sample factor G / (G - 1); Liang and Zeger 1986, Miller 2024,
    arXiv:2411.00640), and t has G - 1 degrees of freedom. With one value per cluster this is the
    ordinary t interval.

    Args:
        values: [unit] numbers.
        clusters: [unit] key of each value's cluster; None where all are independent.
        level: confidence of the interval.

    Returns:
        The mean over units. Equal values give an interval of no width, and the method says so.

    Raises:
        DataError: nothing, a nan, or fewer than two independent values.
    """
    array = finite(values)
    error, groups = clustered_error(array, codes(clusters, array.size))
    mean = float(array.mean())
    half = float(stats.t.ppf((1 + level) / 2, groups - 1)) * error
    method = "mean, t interval" if clusters is None else "mean, cluster-robust t interval"
    if not error:
        method += " (no spread: the values do not differ)"
    return Estimate(
        value=mean, low=mean - half, high=mean + half, n=groups, method=method, level=level
    )


def paired_difference(
    a: ArrayLike, b: ArrayLike, *, clusters: Clusters | None = None, level: float = CONFIDENCE
) -> Estimate:
    """Mean of `a - b` over units measured under both conditions, with a t interval.

    Args:
        a: [unit] numbers under the first condition.
        b: [unit] numbers of the same units under the second.
        clusters: [unit] key of each unit's cluster; None where all are independent.
        level: confidence of the interval.

    Raises:
        DataError: lengths differ, nothing, a nan, or fewer than two independent units.
    """
    first, second = finite(a, "values of a"), finite(b, "values of b")
    same_length(a=first, b=second)
    estimate = mean_estimate(first - second, clusters=clusters, level=level)
    return estimate.model_copy(update={"method": f"paired difference: {estimate.method}"})


def clustered_error(values: NDArray[np.float64], groups: NDArray[np.int64]) -> tuple[float, int]:
    """Standard error of the mean and the number of clusters.

    Raises:
        DataError: there is one cluster only.
    """
    count = int(groups.max()) + 1
    if count < 2:
        raise too_few("a mean", count)
    sums = np.bincount(groups, weights=values - values.mean())
    variance = count / (count - 1) * float(np.sum(sums**2)) / values.size**2
    # Rounding leaves a trace where all values are equal; it must not pass for spread.
    negligible = np.spacing(np.abs(values).max()) * 4
    error = float(np.sqrt(variance))
    return (error if error > negligible else 0.0), count
