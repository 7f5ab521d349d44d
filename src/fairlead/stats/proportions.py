"""Proportions with score intervals, which stay within 0 and 1 and are honest at the ends."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import ndtri

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.stats.arrays import CONFIDENCE, Clusters, codes, finite
from fairlead.stats.means import clustered_error


def proportion(successes: int, n: int, *, level: float = CONFIDENCE) -> Estimate:
    """Share of successes with Wilson's score interval (Wilson 1927).

    Args:
        successes: from 0 to n.
        n: independent trials, at least 1.
        level: confidence of the interval.

    Raises:
        DataError: there are no trials, or the counts contradict each other.
    """
    if n < 1 or not 0 <= successes <= n:
        raise DataError(
            "no proportion from these counts",
            expected="at least one trial and from 0 to n successes",
            got=f"{successes} successes in {n} trials",
            remedy="check that the step before produced results",
        )
    low, high = _wilson(successes / n, float(n), level)
    method = "Wilson score interval"
    return Estimate(value=successes / n, low=low, high=high, n=n, method=method, level=level)


def exact_proportion(successes: int, n: int, *, level: float = CONFIDENCE) -> Estimate:
    """Share of successes with the exact interval (Clopper and Pearson 1934).

    None of 1,000 gives an upper end of 0.0037 at 95 %, the rule of three's 0.0030 at 90 %.

    Args:
        successes: from 0 to n.
        n: independent trials, at least 1.
        level: confidence of the interval.

    Raises:
        DataError: there are no trials, or the counts contradict each other.
    """
    share = proportion(successes, n).value
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, successes, n - successes + 1)) if successes else 0.0
    high = float(stats.beta.ppf(1 - tail, successes + 1, n - successes)) if successes < n else 1.0
    method = "exact interval (Clopper-Pearson)"
    return Estimate(value=share, low=low, high=high, n=n, method=method, level=level)


def clustered_proportion(
    successes: ArrayLike, clusters: Clusters, *, level: float = CONFIDENCE
) -> Estimate:
    """Share of successes where trials of one cluster are not independent.

    Wilson's interval on the effective sample size: the trials divided by the design effect (the
    cluster-robust variance over the binomial one), with the t correction for few clusters and
    never more than the trials (Korn and Graubard 1998; Dean and Pagano 2015). Where the variance
    says nothing (all successes or all failures) each cluster counts as one trial. With one trial
    per cluster this is Wilson's interval.

    Args:
        successes: [trial] 0 or 1, or true/false.
        clusters: [trial] key of each trial's cluster.
        level: confidence of the interval.

    Raises:
        DataError: there are no trials, or values other than 0 and 1.
    """
    array = finite(successes, "successes")
    if not np.isin(array, (0.0, 1.0)).all():
        raise DataError("successes must be 0 or 1", got=f"values up to {array.max():g}")
    groups = codes(clusters, array.size)
    count = int(groups.max()) + 1
    if count == array.size:
        return proportion(int(array.sum()), array.size, level=level)
    share = float(array.mean())
    low, high = _wilson(share, _effective(array, groups, count, level), level)
    return Estimate(
        value=share,
        low=low,
        high=high,
        n=count,
        method="Wilson score interval on the effective sample size, clustered",
        level=level,
    )


def beta_posterior(
    successes: float, n: float, *, prior: tuple[float, float] = (1.0, 1.0)
) -> Estimate:
    """Mean of the Beta posterior of a share, with its 95 % credible interval (equal tails).

    Unlike Wilson's interval it may be read as odds ("at least 0.8 with probability 0.975"), and it
    takes fractional counts, as expected counts of a mixture are.

    Args:
        successes: from 0 to n.
        n: trials; 0 gives the prior.
        prior: counts of successes and failures believed in beforehand; (1, 1) is flat.

    Raises:
        DataError: the counts contradict each other, or the prior is not positive.
    """
    if not 0 <= successes <= n or min(prior) <= 0:
        raise DataError(
            "no posterior from these counts",
            expected="from 0 to n successes and a positive prior",
            got=f"{successes} successes in {n} trials, prior {prior}",
        )
    a, b = prior[0] + successes, prior[1] + n - successes
    low, high = stats.beta.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], a, b)
    method = f"Beta posterior, prior Beta({prior[0]:g}, {prior[1]:g})"
    return Estimate(value=a / (a + b), low=low, high=high, n=round(n), method=method)


def difference_of_proportions(a: Estimate, b: Estimate) -> Estimate:
    """Difference a - b of two independent shares (Newcombe 1998, method 10).

    The ends of the two Wilson intervals are combined, so the interval stays within -1 and 1.

    Args:
        a: a share, as `proportion` gives it.
        b: another one, of other trials.
    """
    gap = a.value - b.value
    low = gap - float(np.hypot(a.value - a.low, b.high - b.value))
    high = gap + float(np.hypot(a.high - a.value, b.value - b.low))
    method = "difference of two shares, Newcombe's interval"
    return Estimate(value=gap, low=low, high=high, n=a.n + b.n, method=method, level=a.level)


def _effective(array: np.ndarray, groups: np.ndarray, count: int, level: float) -> float:
    share = array.mean()
    if count == 1 or share in (0.0, 1.0):
        return float(count)
    error, _ = clustered_error(array, groups)
    if not error:
        return float(array.size)
    quantile = (1 + level) / 2
    few = (stats.norm.ppf(quantile) / stats.t.ppf(quantile, count - 1)) ** 2
    return float(min(share * (1 - share) / error**2 * few, array.size))


def _wilson(share: float, n: float, level: float) -> tuple[float, float]:
    z = float(ndtri((1 + level) / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = 0.0 if share == 0 else float(centre - half)
    high = 1.0 if share == 1 else float(centre + half)
    return low, high
