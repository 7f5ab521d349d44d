"""Bootstrap intervals for statistics without a formula, resampling whole clusters."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.stats.arrays import CONFIDENCE, Clusters, codes, same_length, too_few

Statistic = Callable[..., float]
Arrays = Sequence[NDArray[np.generic]]
Interval = Literal["bca", "percentile"]

UNDEFINED = 0.05
"""Share of resamples that may leave a statistic undefined before there is no interval."""
CHUNK = 100
"""Resamples whose sums are held at once."""
NAMES = {"bca": "bias-corrected and accelerated", "percentile": "percentile"}


def bootstrap(
    statistic: Statistic,
    *arrays: ArrayLike,
    seed: Seed,
    clusters: Clusters | None = None,
    resamples: int = 2000,
    interval: Interval = "bca",
    level: float = CONFIDENCE,
) -> Estimate:
    """Bootstrap interval of any statistic (Efron 1979).

    Args:
        statistic: takes the arrays, with the same units in each, and returns a number.
        *arrays: [unit, ...] data; rows are drawn together, so pairs stay pairs.
        seed: of the resampling.
        clusters: [unit] key of each unit's cluster; whole clusters are drawn.
        resamples: how often to draw.
        interval: "bca" corrects for bias and skew (Efron 1987) with one more evaluation per
            cluster; "percentile" takes the quantiles as they are.
        level: confidence of the interval.

    Raises:
        DataError: fewer than two independent units, or the statistic is undefined on a resample.
    """
    _check_resamples(resamples)
    data = [np.asarray(array) for array in arrays]
    rows = _rows_by_cluster(data, clusters)
    value = float(statistic(*data))
    draws = _draw(statistic, data, rows, seed, resamples)
    _check_defined(np.append(draws, value))
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if interval == "bca":
        tails = _bca_levels(value, draws, _acceleration(_left_out(statistic, data, rows)), tails)
    low, high = np.quantile(draws, tails)
    unit = "units" if clusters is None else "clusters"
    method = f"{NAMES[interval]} bootstrap over {unit}, {resamples} resamples"
    if np.ptp(draws) == 0:
        method += " (no spread: all resamples agree)"
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=len(rows),
        method=method,
        seed=seed.value,
        level=level,
    )


def bootstrap_of_sums(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    rows: ArrayLike | sparse.csr_array,
    *,
    seed: Seed,
    resamples: int = 2000,
    interval: Interval = "bca",
    level: float = CONFIDENCE,
) -> Estimate:
    """Bootstrap interval of a statistic that depends on the units through sums only.

    Means, ratios and coefficients of agreement are of this kind. Equal units are drawn together
    and all resamples are evaluated at once, so thousands of units cost little.

    Args:
        statistic: maps sums [..., d] to values [...]; nan where it is undefined.
        rows: [unit, d] what each unit adds to the sums; a sparse array where most of it is 0.
        seed: of the resampling.
        resamples: how often to draw.
        interval: as in `bootstrap`; "bca" needs one more evaluation per kind of unit.
        level: confidence of the interval.

    Returns:
        The estimate; where up to a twentieth of the resamples leave the statistic undefined, they
        are left out and the method says how many.

    Raises:
        DataError: fewer than two units, or the statistic is undefined or too often so.
    """
    _check_resamples(resamples)
    kinds, counts = _kinds(rows)
    units = int(counts.sum())
    if units < 2:
        raise too_few("a bootstrap", units)
    total = counts @ kinds
    value = float(statistic(total))
    _check_defined(np.array([value]))
    generator = seed.numpy()
    sizes = [len(part) for part in np.array_split(np.empty(resamples), -(-resamples // CHUNK))]
    draws = np.concatenate(
        [statistic(generator.multinomial(units, counts / units, size) @ kinds) for size in sizes]
    )
    defined = draws[np.isfinite(draws)]
    if len(defined) < (1 - UNDEFINED) * resamples:
        _check_defined(draws)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if interval == "bca":
        left_out = np.repeat(_without_each(statistic, kinds, total), counts)
        skew = _acceleration(left_out[np.isfinite(left_out)])
        tails = _bca_levels(value, defined, skew, tails)
    low, high = np.quantile(defined, tails)
    method = f"{NAMES[interval]} bootstrap over units, {resamples} resamples"
    if gone := resamples - len(defined):
        method += f" ({gone} of them undefined and left out)"
    if np.ptp(defined) == 0:
        method += " (no spread: all resamples agree)"
    return Estimate(
        value=value, low=low, high=high, n=units, method=method, seed=seed.value, level=level
    )


def _check_resamples(resamples: int) -> None:
    if resamples < 100:
        raise ConfigError(
            "too few resamples for the ends of a 95 % interval",
            expected="at least 100",
            got=str(resamples),
            remedy="use the default of 2000",
        )


def _kinds(rows: ArrayLike | sparse.csr_array) -> tuple[Any, NDArray[np.int64]]:
    """The different units [kind, d], and how many there are of each."""
    if isinstance(rows, sparse.csr_array):
        return rows, np.ones(rows.indptr.size - 1, dtype=np.int64)
    kinds, counts = np.unique(np.asarray(rows, dtype=np.float64), axis=0, return_counts=True)
    return kinds, counts


def _without_each(statistic: Any, kinds: Any, total: NDArray[np.float64]) -> NDArray[np.float64]:
    """The statistic without one unit of each kind."""
    pieces = (kinds[i : i + CHUNK] for i in range(0, kinds.shape[0], CHUNK))
    dense = (p.toarray() if isinstance(p, sparse.csr_array) else p for p in pieces)
    return np.concatenate([statistic(total - piece) for piece in dense])


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
    value: float, draws: NDArray[np.float64], skew: float, tails: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantile levels corrected for bias and skew; a value outside all draws counts as a half."""
    below = (np.sum(draws < value) + np.sum(draws == value) / 2) / len(draws)
    edge = 0.5 / len(draws)
    bias = stats.norm.ppf(np.clip(below, edge, 1 - edge))
    z = bias + stats.norm.ppf(tails)
    return stats.norm.cdf(bias + z / (1 - skew * z))


def _left_out(
    statistic: Statistic, data: Arrays, rows: list[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """The statistic without one cluster at a time."""
    left_out = np.empty(len(rows))
    for i, out in enumerate(rows):
        left_out[i] = statistic(*(np.delete(array, out, axis=0) for array in data))
    _check_defined(left_out)
    return left_out


def _acceleration(left_out: NDArray[np.float64]) -> float:
    """Skew of the statistic from leaving out one cluster at a time."""
    deviations = left_out.mean() - left_out
    spread = float(np.sum(deviations**2))
    return float(np.sum(deviations**3)) / (6 * spread**1.5) if spread > 0 else 0.0
