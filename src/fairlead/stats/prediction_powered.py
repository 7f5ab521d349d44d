"""A mean of people's labels from many labels by a judge and few by people."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.stats.arrays import CONFIDENCE


def prediction_powered(
    judged: Sequence[float],
    judged_with_people: Sequence[float],
    people: Sequence[float],
    *,
    level: float = CONFIDENCE,
) -> Estimate:
    """Mean of people's labels, estimated from many by a judge and few by both.

    mean(judge, all) + mean(people - judge, few), with variance var(judge)/N + var(people - judge)/n
    (Angelopoulos et al. 2023, arXiv:2301.09633, Example 1); unbiased however wrong the judge is.

    Args:
        judged: [all items] the judge's labels.
        judged_with_people: [few items] the judge's labels of items with labels by people, drawn at
            random from all.
        people: [few items] people's labels of the same items.
        level: confidence of the interval.

    Raises:
        DataError: fewer than two items, or lengths that differ.
    """
    if min(len(judged), len(people)) < 2 or len(people) != len(judged_with_people):
        raise DataError(
            "labels that cannot be corrected",
            expected="two items or more, and both labels of each that people saw",
            got=f"{len(judged)} judged; {len(people)} by people, {len(judged_with_people)} by both",
        )
    gaps = np.asarray(people) - np.asarray(judged_with_people)
    value = float(np.mean(judged) + gaps.mean())
    error = (np.var(judged, ddof=1) / len(judged) + gaps.var(ddof=1) / len(gaps)) ** 0.5
    half = float(ndtri((1 + level) / 2) * error)
    return Estimate(
        value=value,
        low=value - half,
        high=value + half,
        n=len(judged),
        method=f"prediction-powered, normal interval; {len(people)} of {len(judged)} by people",
        level=level,
    )
