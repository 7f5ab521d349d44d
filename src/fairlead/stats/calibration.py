"""How well stated probabilities fit what happened, and how well scores separate two classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import minimize_scalar

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed

BINS = 10
"""Equal parts of the range of probabilities."""
EQUAL_BINS = 15
"""Bins of equal size, as many as Guo et al. 2017 have."""
NULLS = 1000
"""Simulated outcomes of a calibrated scorer."""
HOTTEST = 1e4
"""Temperatures are looked for up to here, and down to its inverse."""

Floats = NDArray[np.float64]


def calibration_error(chances: Floats, happened: Floats) -> float:
    """Expected calibration error (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599).

    Probabilities are sorted into ten bins of equal width; the distance of mean probability and
    frequency in each is averaged, weighted by its size.

    Args:
        chances: [case] stated probabilities.
        happened: [case] 1 where it happened, 0 where not; or frequencies.
    """
    bins = np.minimum((chances * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=happened - chances, minlength=BINS)
    return float(np.abs(gaps).sum() / len(chances))


def area_under_curve(scores: Floats, positive: Floats) -> float:
    """Probability that a positive case scores above a negative one, ties half (AUC).

    Args:
        scores: [case], higher for positive.
        positive: [case] 1 or 0.

    Returns:
        1/2 where one of the classes is empty, so that resamples without one do not count.
    """
    count = float(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return 0.5
    ranks = np.asarray(stats.rankdata(scores), dtype=np.float64)
    above = float(ranks[positive == 1].sum()) - count * (count + 1) / 2
    return above / (count * others)


def equal_bins(chances: Floats, bins: int = EQUAL_BINS) -> NDArray[np.int64]:
    """[case] number of the bin of each, from 0: bins of equal size, equal chances in one bin."""
    ranks = np.asarray(stats.rankdata(chances), dtype=np.float64)
    return np.minimum(((ranks - 0.5) / len(chances) * bins).astype(np.int64), bins - 1)


def equal_size_error(chances: Floats, happened: Floats, bins: int = EQUAL_BINS) -> float:
    """Expected calibration error with bins of equal size.

    It is above 0 even for a calibrated scorer, by chance alone; hold it against `null_band`.

    Args:
        chances: [case] stated probabilities.
        happened: [case] 1 where it happened, 0 where not; or frequencies.
        bins: how many.
    """
    gaps = np.bincount(equal_bins(chances, bins), weights=happened - chances)
    return float(np.abs(gaps).sum() / len(chances))


def largest_gap(chances: Floats, happened: Floats, bins: int = EQUAL_BINS) -> float:
    """Maximum calibration error: the largest distance within a bin of equal size."""
    where = equal_bins(chances, bins)
    sizes = np.bincount(where)
    gaps = np.bincount(where, weights=happened - chances)
    return float((np.abs(gaps)[sizes > 0] / sizes[sizes > 0]).max())


@dataclass(frozen=True)
class NullBand:
    """Calibration errors that a calibrated scorer with the same probabilities shows by chance."""

    mean: float
    low: float
    high: float
    p: float
    """Share of simulated errors at least as large as the one that was seen."""


def null_band(
    chances: Floats,
    seen: float,
    *,
    seed: Seed,
    bins: int = EQUAL_BINS,
    draws: int = NULLS,
    level: float = 0.95,
) -> NullBand:
    """Simulates outcomes with the stated probabilities (Broecker and Smith 2007, consistency).

    Args:
        chances: [case] stated probabilities.
        seen: the error with the real outcomes.
        seed: of the outcomes.
        bins: as in `equal_size_error`.
        draws: simulations.
        level: share of simulated errors within the band; the test is one-sided whatever it is.
    """
    where = equal_bins(chances, bins)
    order = np.argsort(where, kind="stable")
    sorted_chances = chances[order]
    starts = np.flatnonzero(np.diff(where[order], prepend=-1))
    happened = seed.numpy().random((draws, len(chances))) < sorted_chances
    gaps = np.add.reduceat(happened - sorted_chances, starts, axis=1)
    errors = np.abs(gaps).sum(axis=1) / len(chances)
    low, high = np.quantile(errors, [(1 - level) / 2, (1 + level) / 2])
    p = (1 + int(np.sum(errors >= seen - 1e-12))) / (draws + 1)
    return NullBand(float(errors.mean()), float(low), float(high), p)


def log_loss(margins: Floats, chosen: Floats) -> Floats:
    """[case] -p log s(m) - (1 - p) log s(-m): surprise, in nats, at a preference of share p.

    Args:
        margins: [case] log-odds stated for the first reply.
        chosen: [case] share that took the first reply.
    """
    return chosen * np.logaddexp(0, -margins) + (1 - chosen) * np.logaddexp(0, margins)


def temperature(margins: Floats, chosen: Floats) -> float:
    """What margins are to be divided by for the least surprise (Guo et al. 2017).

    Args:
        margins: [case] log-odds stated for the first reply.
        chosen: [case] share that took the first reply.

    Raises:
        DataError: there are no cases.
    """
    if not len(margins):
        raise DataError("no temperature without cases", expected="at least one", got="none")
    found = minimize_scalar(
        lambda log_t: float(log_loss(margins / np.exp(log_t), chosen).mean()),
        bounds=(-np.log(HOTTEST), np.log(HOTTEST)),
        method="bounded",
    )
    return float(np.exp(found.x))  # pyright: ignore[reportAttributeAccessIssue]
