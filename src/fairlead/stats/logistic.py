"""Logistic regression with what every case contributes, so that anything built on it has an error.

Intervals are sandwiches (Huber 1967; Liang and Zeger 1986): a wrong model still has a right error.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.stats.arrays import CONFIDENCE, Clusters, same_length
from fairlead.stats.means import mean_estimate

Floats = NDArray[np.float64]

NEGLIGIBLE = 1e-10
MOST_STEPS = 50
STEEPEST = 30.0
"""Log-odds beyond these mean that the features part the outcomes: no maximum exists."""


@dataclass(frozen=True)
class Logistic:
    """Coefficients of log-odds and how they depend on each case."""

    coefficients: Floats
    """[feature]; nan where the features part the outcomes, so that no maximum exists."""
    influence: Floats
    """[case, feature] by how much each case moves them, times the number of cases."""
    chances: Floats
    """[case] fitted probabilities."""

    def coefficient(
        self, which: int, *, clusters: Clusters | None = None, level: float = CONFIDENCE
    ) -> Estimate:
        """One coefficient with a cluster-robust interval; nan where there is no maximum."""
        if np.isnan(self.coefficients).any():
            nan, n = float("nan"), len(self.chances)
            method = "no maximum: the features part the outcomes"
            return Estimate(value=nan, low=nan, high=nan, n=n, method=method, level=level)
        values = self.coefficients[which] + self.influence[:, which]
        found = mean_estimate(values, clusters=clusters, level=level)
        method = "logistic regression, cluster-robust interval"
        return found.model_copy(update={"method": method})


def logistic(features: ArrayLike, outcomes: ArrayLike) -> Logistic:
    """Fits the log-odds of outcomes as a sum of features; an intercept is a feature of ones.

    Args:
        features: [case, feature].
        outcomes: [case] from 0 to 1; shares are allowed.

    Raises:
        DataError: the arrays do not pair up, hold nan, or a feature is a sum of others.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    same_length(features=x, outcomes=y)
    if x.ndim != 2 or not len(x) or not np.isfinite(x).all() or not ((y >= 0) & (y <= 1)).all():
        raise DataError(
            "no regression on these cases",
            expected="finite features [case, feature] and outcomes from 0 to 1",
            got=f"features {x.shape}, outcomes from {y.min(initial=0):g} to {y.max(initial=0):g}",
        )
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise DataError(
            "a feature is a sum of others",
            expected=f"{x.shape[1]} independent features",
            got=f"rank {np.linalg.matrix_rank(x)}",
            remedy="leave out features that never differ, or repeat each other",
        )
    coefficients = np.zeros(x.shape[1])
    for _ in range(MOST_STEPS):
        chances = expit(x @ coefficients)
        bend = (x * (chances * (1 - chances))[:, None]).T @ x / len(x)
        if np.linalg.cond(bend) > 1 / np.finfo(float).eps:
            break
        step = np.linalg.solve(bend, x.T @ (y - chances) / len(x))
        coefficients += step
        if np.abs(x @ coefficients).max() > STEEPEST:
            break
        if np.abs(step).max() < NEGLIGIBLE:
            influence = np.linalg.solve(bend, (x * (y - chances)[:, None]).T).T
            return Logistic(coefficients, influence, chances)
    return Logistic(np.full(x.shape[1], np.nan), np.full(x.shape, np.nan), expit(x @ coefficients))
