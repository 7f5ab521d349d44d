"""Bootstrap intervals for statistics without a formula, resampling whole clusters."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.stats.arrays import CONFIDENCE, Clusters, codes, same_length, too_few

Statistic = Callable[..., float]
Arrays = Sequence[NDArray[np.generic]]


def bootstrap(
    statistic: Statistic,
    *arrays: ArrayLike,
    seed: Seed,
    clusters: Clusters | None = None,
    resamples: int = 2000,
    interval: Literal["bca", "percentile"] = "bca",
) -> Estimate:
    """95 % bootstrap interval of any statistic (Efron 1979).

    Args:
        statistic: takes the arrays, with the same units in each, and returns a number.
        *arrays: [unit, ...] data; rows are drawn together, so pairs stay pairs.
        seed: of the resampling.
        clusters: [unit] key of each unit's cluster; whole clusters are drawn.
        resamples: how often to draw.
        interval: "bca" corrects for bias and skew (Efron 1987) with one more evaluation per
            cluster; "percentile" takes the quantiles as they are.

    Raises:
        DataError: fewer than two independent units, or the statistic is undefined on a resample.
    """
    if resamples < 100:
        raise ConfigError(
            "too few resamples for the ends of a 95 % interval",
            expected="at least 100",
            got=str(resamples),
            remedy="use the default of 2000",
        )
    data = [np.asarray(array) for array in arrays]
    rows = _rows_by_cluster(data, clusters)
    value = float(statistic(*data))
    draws = _draw(statistic, data, rows, seed, resamples)
    _check_defined(np.append(draws, value))
    tails = np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    levels = _bca_levels(statistic, data, rows, value, draws, tails) if interval == "bca" else tails
    low, high = np.quantile(draws, levels)
    name = {"bca": "bias-corrected and accelerated", "percentile": "percentile"}[interval]
    unit = "units" if clusters is None else "clusters"
    method = f"{name} bootstrap over {unit}, {resamples} resamples"
    if np.ptp(draws) == 0:
        method += " (no spread: all resamples agree)"
    return Estimate(value=value, low=low, high=high, n=len(rows), method=method, seed=seed.value)


def _rows_by_cluster(data: Arrays, clusters: Clusters | None) -> list[NDArray[np.int64]]:
    """Row numbers of each cluster."""
    if not data or any(array.ndim == 0 or not len(array) for array in data):
        raise DataError(
            "nothing to resample",
            expected="arrays with at least one row",
            got=str([array.shape for array in data]),
            remedy="check that the step before produced results",
        )
    same_length(**{f"array {i + 1}": array for i, array in enumerate(data)})
    groups = codes(clusters, len(data[0]))
    order = np.argsort(groups, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(groups))[:-1])
    if len(rows) < 2:
        raise too_few("a bootstrap", len(rows))
    return rows


def _draw(
    statistic: Statistic,
    data: Arrays,
    rows: list[NDArray[np.int64]],
    seed: Seed,
    resamples: int,
) -> NDArray[np.float64]:
    generator = seed.numpy()
    draws = np.empty(resamples)
    for i in range(resamples):
        picked = generator.integers(len(rows), size=len(rows))
        index = np.concatenate([rows[k] for k in picked])
        draws[i] = statistic(*(array[index] for array in data))
    return draws


def _check_defined(values: NDArray[np.float64]) -> None:
    if undefined := int(np.sum(~np.isfinite(values))):
        raise DataError(
            "the statistic is undefined on some resamples",
            expected="a finite number from every resample",
            got=f"{undefined} of {len(values)} are nan or infinite",
            remedy="use more data, or a statistic that is defined where values repeat",
        )


def _bca_levels(
    statistic: Statistic,
    data: Arrays,
    rows: list[NDArray[np.int64]],
    value: float,
    draws: NDArray[np.float64],
    tails: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Quantile levels corrected for bias and skew; a value outside all draws counts as a half."""
    below = (np.sum(draws < value) + np.sum(draws == value) / 2) / len(draws)
    edge = 0.5 / len(draws)
    bias = stats.norm.ppf(np.clip(below, edge, 1 - edge))
    skew = _acceleration(statistic, data, rows)
    z = bias + stats.norm.ppf(tails)
    return stats.norm.cdf(bias + z / (1 - skew * z))


def _acceleration(statistic: Statistic, data: Arrays, rows: list[NDArray[np.int64]]) -> float:
    """Skew of the statistic from leaving out one cluster at a time."""
    left_out = np.empty(len(rows))
    for i, out in enumerate(rows):
        left_out[i] = statistic(*(np.delete(array, out, axis=0) for array in data))
    _check_defined(left_out)
    deviations = left_out.mean() - left_out
    spread = float(np.sum(deviations**2))
    return float(np.sum(deviations**3)) / (6 * spread**1.5) if spread > 0 else 0.0
