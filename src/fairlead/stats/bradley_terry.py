"""Strengths from comparisons of two: Bradley-Terry, with Davidson's ties and a bias to the left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats
from scipy.sparse.linalg import SuperLU, splu

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.stats.arrays import CONFIDENCE, same_length

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

NEGLIGIBLE = 1e-9
"""Newton's method stops where no parameter moves more."""
MOST_STEPS = 200
COLUMNS = 256
"""Contrasts solved at once."""


@dataclass(frozen=True)
class Davidson:
    """Strengths and what the comparisons were distorted by, at the mode of their posterior."""

    strengths: Floats
    """[player] on the logit scale, averaging 0 where all are connected."""
    left: Estimate
    """Intercept of the player shown on the left, on the logit scale; 0 is no bias."""
    ties: Estimate | None
    """Log of Davidson's tie parameter; None where no comparison tied."""
    converged: bool
    steps: int
    _factor: SuperLU
    _n: int

    def difference(self, first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
        """Margins first - second and their standard errors (Laplace).

        Args:
            first: [pair] player numbers.
            second: [pair] player numbers.
        """
        a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
        same_length(first=a, second=b)
        variances = np.empty(len(a))
        for start in range(0, len(a), COLUMNS):
            part = slice(start, start + COLUMNS)
            columns = np.arange(len(a[part]))
            contrast = np.zeros((self._n, len(columns)))
            np.add.at(contrast, (a[part], columns), 1.0)
            np.add.at(contrast, (b[part], columns), -1.0)
            variances[part] = (contrast * self._factor.solve(contrast)).sum(axis=0)
        return self.strengths[a] - self.strengths[b], np.sqrt(np.maximum(variances, 0))

    def win(self, first: ArrayLike, second: ArrayLike) -> Floats:
        """P(first beats second | no tie) without the bias to the left; [pair]."""
        a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
        return 1 / (1 + np.exp(self.strengths[b] - self.strengths[a]))


def davidson(
    left: ArrayLike,
    right: ArrayLike,
    outcome: ArrayLike,
    players: int,
    *,
    weights: ArrayLike | None = None,
    prior_sd: float = 1.0,
    intercept_sd: float = 1.0,
) -> Davidson:
    """Bradley-Terry with ties and an intercept for the left.

    With d = strength of left - strength of right + intercept, the weights of "left wins", "right
    wins" and "tie" are exp(d/2), exp(-d/2) and nu. Strengths have a normal prior, so a player who
    never wins or is connected to nobody still has a finite strength. The intercept is told from the
    strengths because players are shown on both sides. Without ties nu stays out (plain
    Bradley-Terry). Davidson 1970; the intercept: Davidson and Beaver 1977.

    Args:
        left: [comparison] player shown on the left, from 0.
        right: [comparison] player shown on the right.
        outcome: [comparison] 1 where the left won, 0 where the right did, 0.5 for a tie.
        players: how many there are.
        weights: [comparison] how much each counts; None for one each.
        prior_sd: standard deviation of strengths believed in beforehand, on the logit scale.
        intercept_sd: the same of the intercept; close to 0 takes it out.

    Raises:
        DataError: no comparison, or numbers out of range.
    """
    a, b = np.asarray(left, dtype=np.int64), np.asarray(right, dtype=np.int64)
    result = np.asarray(outcome, dtype=np.float64)
    counted = np.ones(len(a)) if weights is None else np.asarray(weights, dtype=np.float64)
    same_length(left=a, right=b, outcome=result, weights=counted)
    _check(a, b, result, players, counted)
    ties = bool((result == 0.5).any())
    model = _Model(a, b, result, counted, players, ties, prior_sd, intercept_sd)
    found, factor, steps, converged = model.fit()
    size = len(found)
    return Davidson(
        strengths=found[:players],
        left=_normal(found, factor, players, len(a), "intercept of the left"),
        ties=_normal(found, factor, players + 1, len(a), "log tie parameter") if ties else None,
        converged=converged,
        steps=steps,
        _factor=factor,
        _n=size,
    )


@dataclass(frozen=True)
class _Model:
    left: Codes
    right: Codes
    outcome: Floats
    weights: Floats
    players: int
    ties: bool
    prior_sd: float
    intercept_sd: float

    def fit(self) -> tuple[Floats, SuperLU, int, bool]:
        """Newton's method with halved steps; the negative log posterior is convex."""
        size = self.players + 1 + self.ties
        precision = np.full(size, self.prior_sd**-2)
        precision[self.players :] = self.intercept_sd**-2
        if self.ties:
            precision[-1] = 1e-2  # the tie parameter is well known from the data; sd 10
        design = self._design()
        x = np.zeros(size)
        value = self._loss(x, design, precision)
        steps, moved = 0, np.inf
        while True:
            slope, curve = self._derivatives(x, design, precision)
            factor = splu(curve.tocsc())
            if moved <= NEGLIGIBLE or steps >= MOST_STEPS:
                return x, factor, steps, moved <= NEGLIGIBLE
            step = factor.solve(slope)
            scale, tried = 1.0, np.inf
            while scale > 1e-10:
                tried = self._loss(x - scale * step, design, precision)
                if tried <= value + 1e-12:
                    break
                scale /= 2
            moved = float(np.abs(scale * step).max())
            x, value = x - scale * step, min(tried, value)
            steps += 1

    def _design(self) -> sparse.csr_array:
        """[comparison, parameter] of d."""
        n = len(self.left)
        rows = np.tile(np.arange(n), 3)
        columns = np.concatenate([self.left, self.right, np.full(n, self.players)])
        entries = np.concatenate([np.ones(n), -np.ones(n), np.ones(n)])
        shape = (n, self.players + 1 + self.ties)
        return sparse.csr_array((entries, (rows, columns)), shape=shape)

    def _shares(self, x: Floats, design: sparse.csr_array) -> tuple[Floats, Floats, Floats]:
        """Log weights' sum, P(left wins) - P(right wins), and P(tie)."""
        d = design @ x
        log_tie = np.full(len(d), x[-1] if self.ties else -np.inf)
        total = np.logaddexp(np.logaddexp(d / 2, -d / 2), log_tie)
        return total, np.exp(d / 2 - total) - np.exp(-d / 2 - total), np.exp(log_tie - total)

    def _loss(self, x: Floats, design: sparse.csr_array, precision: Floats) -> float:
        d = design @ x
        total, _, _ = self._shares(x, design)
        tied = self.outcome == 0.5
        scored = (self.outcome - 0.5) * d + tied * (x[-1] if self.ties else 0.0)
        return float(self.weights @ (total - scored) + 0.5 * precision @ x**2)

    def _derivatives(
        self, x: Floats, design: sparse.csr_array, precision: Floats
    ) -> tuple[Floats, sparse.csr_array]:
        _, lead, tie = self._shares(x, design)
        slope = design.T @ (self.weights * (lead / 2 - (self.outcome - 0.5))) + precision * x
        bend = self.weights * ((1 - tie) - lead**2) / 4
        curve = design.T @ sparse.diags_array(bend) @ design + sparse.diags_array(precision)
        if self.ties:
            slope[-1] += self.weights @ (tie - (self.outcome == 0.5))
            cross = design.T @ (-self.weights * tie * lead / 2)
            edge = sparse.lil_array(curve.shape)
            edge[-1, :] = cross
            edge[:, -1] = cross
            edge[-1, -1] = self.weights @ (tie * (1 - tie))
            curve = curve + edge.tocsr()
        return slope, curve.tocsr()


def _normal(x: Floats, factor: SuperLU, which: int, n: int, name: str) -> Estimate:
    unit = np.zeros(len(x))
    unit[which] = 1.0
    error = float(np.sqrt(factor.solve(unit)[which]))
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * error
    value = float(x[which])
    method = f"{name}: mode of the posterior, Laplace interval"
    return Estimate(value=value, low=value - half, high=value + half, n=n, method=method)


def _check(a: Codes, b: Codes, outcome: Floats, players: int, weights: Floats) -> None:
    both = np.concatenate([a, b])
    if not len(a) or both.min() < 0 or both.max() >= players:
        raise DataError(
            "no strengths from these comparisons",
            expected=f"at least one comparison of players 0 to {players - 1}",
            got=f"{len(a)} comparisons",
        )
    if (a == b).any() or not np.isin(outcome, (0.0, 0.5, 1.0)).all() or (weights < 0).any():
        raise DataError(
            "comparisons that cannot be counted",
            expected="two different players, outcomes 0, 0.5 or 1, weights from 0 on",
            got=f"{int((a == b).sum())} of a player with itself",
        )
