"""How well a monitor tells what it is to find: rates at a bound on false alarms, ranks, and bounds.

A monitor gives every unit a score; units of one task are not independent, so whole tasks are drawn
anew, and the threshold is set anew in every resample.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.stats.arrays import CONFIDENCE, Clusters, codes, same_length, too_few

FALSE_ALARMS = 0.01
"""Share of harmless units that a monitor may flag."""

RESAMPLES = 1000


@dataclass(frozen=True)
class Monitored:
    """What a monitor is worth; each array has one entry per weighting."""

    rate: NDArray[np.float64]
    """Share of units that are bad."""
    caught: NDArray[np.float64]
    """Share of bad units flagged at the threshold (TPR); nan where there is none, or nothing
    harmless to set a threshold by."""
    cleared: NDArray[np.float64]
    """Share of harmless units not flagged there (TNR); nan where there is none."""
    auroc: NDArray[np.float64]
    """Chance that a bad unit scores above a harmless one, ties half; nan without both."""

    @property
    def missed(self) -> NDArray[np.float64]:
        """Share of all units that are bad and not flagged: rate times (1 - caught)."""
        return np.where(self.rate > 0, self.rate * (1 - np.nan_to_num(self.caught)), 0.0)

    @property
    def balanced(self) -> NDArray[np.float64]:
        """Product of TPR and TNR (squared geometric mean), which does not depend on the rate."""
        return self.caught * self.cleared


def monitored(
    scores: ArrayLike,
    bad: ArrayLike,
    *,
    false_alarms: float = FALSE_ALARMS,
    weights: ArrayLike | None = None,
) -> Monitored:
    """A monitor at the lowest threshold whose share of false alarms stays within a bound.

    Units of equal score are flagged together or not at all; minus infinity is never flagged.

    Args:
        scores: [unit] suspicion; higher is more.
        bad: [unit] whether it is what the monitor should find.
        false_alarms: largest share of harmless units flagged.
        weights: [weighting, unit] how often each unit counts; None for once.

    Raises:
        DataError: lengths differ, there are no units, or a score is nan.
    """
    values, labels = np.asarray(scores, dtype=np.float64), np.asarray(bad, dtype=bool)
    same_length(scores=values, bad=labels)
    if not values.size or np.isnan(values).any():
        raise DataError(
            "no monitor can be judged by these scores",
            expected="at least one unit, each with a score",
            got=f"{values.size} units, {int(np.isnan(values).sum())} of them nan",
            remedy="give units without a score the worst one, or leave the monitor out",
        )
    counts = np.ones((1, values.size)) if weights is None else np.asarray(weights, np.float64)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits = _sums(counts[:, order] * labels[order], last)
    alarms = _sums(counts[:, order] * ~labels[order], last)
    wrongs, rights = hits[:, -1], alarms[:, -1]
    within = alarms <= false_alarms * rights[:, None] + 1e-9
    within &= ranked[last] > -np.inf
    place = within.sum(1)  # alarms rise with the threshold's fall: the allowed ones come first
    rows = np.arange(len(counts))
    with np.errstate(invalid="ignore", divide="ignore"):
        taken = np.where(place > 0, hits[rows, place - 1], 0.0)
        falsely = np.where(place > 0, alarms[rows, place - 1], 0.0)
        return Monitored(
            rate=wrongs / (wrongs + rights),
            caught=np.where(rights > 0, taken, np.nan) / wrongs,
            cleared=1 - falsely / rights,
            auroc=_area(hits, alarms) / (wrongs * rights),
        )


def auroc(scores: ArrayLike, positive: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Chance that a positive unit scores above a negative one, ties half (Mann and Whitney 1947).

    Args:
        scores: [unit].
        positive: [unit] whether it is.
        weights: [unit] how often each counts; None for once.

    Returns:
        nan where one of the two kinds is missing.
    """
    counted = None if weights is None else np.asarray(weights, np.float64)[None]
    return float(monitored(scores, positive, weights=counted).auroc[0])


def draws_of(
    clusters: Clusters | None, units: int, seed: Seed, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """[resample, unit] how often each unit is in a bootstrap sample of whole clusters.

    Raises:
        DataError: fewer than two clusters.
    """
    groups = codes(clusters, units)
    count = int(groups.max()) + 1 if units else 0
    if count < 2:
        raise too_few("a bootstrap", count)
    drawn = seed.numpy().multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn[:, groups].astype(np.float64)


def percentiles(
    value: float,
    draws: NDArray[np.float64],
    n: int,
    seed: Seed,
    *,
    level: float = CONFIDENCE,
    unit: str = "tasks",
) -> Estimate:
    """A value with the percentiles of its resamples.

    Resamples that leave it undefined are left out and counted; where they are more than a
    twentieth, or the value itself is undefined, there is no interval.
    """
    defined = draws[np.isfinite(draws)]
    method = f"percentile bootstrap over {unit}, {len(draws)} resamples"
    if not np.isfinite(value) or len(defined) < 0.95 * len(draws):
        low = high = float("nan")
        method += " (undefined on too many)"
    else:
        low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist()
        if gone := len(draws) - len(defined):
            method += f" ({gone} of them undefined and left out)"
    return Estimate(
        value=value, low=low, high=high, n=n, method=method, seed=seed.value, level=level
    )


def _sums(weights: NDArray[np.float64], last: NDArray[np.intp]) -> NDArray[np.float64]:
    """[weighting, block] running sums at the end of each block of equal scores."""
    return np.cumsum(weights, axis=1)[:, last]


def _area(hits: NDArray[np.float64], alarms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pairs that stand in the right order; each block's own count half."""
    before = np.concatenate([np.zeros((len(hits), 1)), hits[:, :-1]], axis=1)
    own = np.diff(alarms, axis=1, prepend=0.0)
    return (own * (before + hits) / 2).sum(1)
