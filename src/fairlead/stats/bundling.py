"""Whether preferences reward an attribute, or it rides on something else that they reward.

Bradley-Terry on differences of features between the preferred reply and the other.
"""

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import expit

from fairlead.core.estimates import Estimate
from fairlead.stats.arrays import CONFIDENCE, Clusters, codes
from fairlead.stats.best_of_n import expected_best_of_n
from fairlead.stats.logistic import Logistic, logistic
from fairlead.stats.means import mean_estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Votes:
    """Prompts in which an attribute stands on one side only."""

    preferred: int
    """Prompts with the attribute in preferred replies."""
    other: int
    """Prompts with it in the others."""

    @property
    def log_odds(self) -> float:
        """Of being preferred, with a half added to either count."""
        return log((self.preferred + 0.5) / (self.other + 0.5))

    @property
    def p(self) -> float:
        """Exact two-sided p-value that both are equally likely."""
        return float(sign_p([self.preferred], [self.other])[0])


def votes(differences: ArrayLike, clusters: Clusters | None = None) -> Votes:
    """One vote per prompt: on which side an attribute stands more often.

    Args:
        differences: [pair] attribute of the preferred reply minus that of the other.
        clusters: [pair] key of each pair's prompt.
    """
    array = np.asarray(differences, dtype=np.float64)
    sums = np.bincount(codes(clusters, len(array)), weights=array)
    return Votes(int((sums > 0).sum()), int((sums < 0).sum()))


def sign_p(first: ArrayLike, second: ArrayLike) -> Floats:
    """[test] exact two-sided p-values that both of two counts are equally likely."""
    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    return np.minimum(2 * stats.binom.cdf(np.minimum(a, b), a + b, 0.5), 1.0)


@dataclass(frozen=True)
class Bundling:
    """What preferences say of one attribute."""

    marginal: Estimate
    """Log-odds of being preferred with the attribute, by itself."""
    adjusted: Estimate
    """The same where the other features are equal."""
    index: Estimate
    """Marginal less adjusted: how much of its value the attribute owes to other features."""
    amplified: Estimate
    """Rise of its frequency in the better of two, per unit of ln n."""
    riding: Estimate
    """The part of that rise which comes from the other features alone: what a reward would add
    that gives the attribute no value."""


def bundling(
    differences: ArrayLike,
    others: ArrayLike,
    chosen: ArrayLike,
    *,
    clusters: Clusters | None = None,
    level: float = CONFIDENCE,
) -> Bundling:
    """Tells an attribute that is preferred from one that accompanies what is preferred.

    One of two replies is better with probability P, so the better one has the attribute more often
    by (P - 1/2) times the difference; with P from the other features alone that is what rides.
    Intervals know that coefficients were fitted. A case of no preference is added for each
    feature, so that an attribute on one side only has finite log-odds too.

    Args:
        differences: [pair] attribute of the first reply minus that of the second.
        others: [pair, feature] differences of other features, as quality and length.
        chosen: [pair] share of people who took the first reply.
        clusters: [pair] key of each pair's prompt.
        level: confidence of the intervals.

    Raises:
        DataError: a feature is a sum of others, or never differs.
    """
    a, x = np.asarray(differences, dtype=np.float64), np.asarray(others, dtype=np.float64)
    y = np.asarray(chosen, dtype=np.float64)
    alone = _fit(a[:, None], y)
    joint = _fit(np.column_stack([a, x]), y)
    n = len(a)
    marginal = alone.coefficients[0] + alone.influence[:n, 0]
    adjusted = joint.coefficients[0] + joint.influence[:n, 0]
    weights = joint.coefficients[1:]
    push = expit(x @ weights)
    each = (push - 0.5) * a / log(2)
    slope = ((push * (1 - push) * a)[:, None] * x).mean(axis=0) / log(2)
    riding = each + joint.influence[:n, 1:] @ slope

    def estimate(values: Floats, method: str) -> Estimate:
        found = mean_estimate(values, clusters=clusters, level=level)
        return found.model_copy(update={"method": f"{method}, cluster-robust interval"})

    return Bundling(
        marginal=estimate(marginal, "Bradley-Terry on the attribute"),
        adjusted=estimate(adjusted, "Bradley-Terry on all features"),
        index=estimate(marginal - adjusted, "difference of two Bradley-Terry coefficients"),
        amplified=estimate((y - 0.5) * a / log(2), "best of two by the labels"),
        riding=estimate(riding, "best of two by the other features alone"),
    )


def coefficient(
    features: ArrayLike, chosen: ArrayLike, which: int, *, clusters: Clusters | None = None
) -> Estimate:
    """One coefficient of a Bradley-Terry model on differences of features, finite as above."""
    x, y = np.asarray(features, dtype=np.float64), np.asarray(chosen, dtype=np.float64)
    found = _fit(x, y)
    values = found.coefficients[which] + found.influence[: len(x), which]
    return mean_estimate(values, clusters=clusters)


def slope_per_log_n(proxy: ArrayLike, attribute: ArrayLike, sizes: list[int]) -> float:
    """Rise of an attribute's expected frequency in the proxy's best of n, per unit of ln n.

    Args:
        proxy: [sample] scores of replies to one prompt.
        attribute: [sample] whether they have it.
        sizes: n from 2 on; at most the samples.

    Returns:
        The slope of a line through no rise at n = 1, by least squares.
    """
    base = expected_best_of_n(proxy, attribute, 1)
    rises = np.array([expected_best_of_n(proxy, attribute, n) - base for n in sizes])
    steps = np.log(sizes)
    return float(steps @ rises / (steps @ steps))


def _fit(x: Floats, y: Floats) -> Logistic:
    """With one case of no preference for each feature, of that feature's usual size."""
    usual = np.sqrt(np.mean(x**2, axis=0, where=x != 0) if (x != 0).any() else np.ones(x.shape[1]))
    usual = np.where(np.isfinite(usual) & (usual > 0), usual, 1.0)
    padded = np.vstack([x, np.diag(usual)])
    return logistic(padded, np.append(y, np.full(x.shape[1], 0.5)))
