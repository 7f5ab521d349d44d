"""How well stated probabilities fit what happened, and how well scores separate two classes."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

BINS = 10
"""Equal parts of the range of probabilities."""

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
