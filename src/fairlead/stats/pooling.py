"""One number from several independent estimates of like effects."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate


def pooled(estimates: Sequence[Estimate], *, level: float) -> Estimate:
    """Mean of estimates weighted by the inverse of their variances (fixed effect; Cochran 1954).

    The standard error of each is its interval's half width over the normal quantile of its level,
    so a t interval counts as a little wider than it is.

    Args:
        estimates: independent of each other.
        level: confidence of the pooled interval.

    Raises:
        DataError: there is none, or one whose interval has no width or is undefined.
    """
    halves = np.array([(e.high - e.low) / 2 for e in estimates])
    if not halves.size or not (halves > 0).all():
        raise DataError(
            "estimates that cannot be pooled",
            expected="at least one, each with an interval of some width",
            got=f"{int((~(halves > 0)).sum())} of {halves.size} without",
            remedy="measure more items of each",
        )
    variances = (halves / ndtri([(1 + e.level) / 2 for e in estimates])) ** 2
    weights = 1 / variances
    value = float(weights @ [e.value for e in estimates] / weights.sum())
    half = float(ndtri((1 + level) / 2) / np.sqrt(weights.sum()))
    return Estimate(
        value=value,
        low=value - half,
        high=value + half,
        n=sum(e.n for e in estimates),
        method=f"mean of {len(estimates)} by inverse variance, normal interval",
        level=level,
    )
