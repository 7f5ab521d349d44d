"""Win rates, raw and with the effect of length taken out.

Dubois et al. 2024, arXiv:2404.04475: the probability that a reply is preferred is a logistic model
of a constant and of the difference in length, and the length-controlled win rate is what it says
where the lengths are equal. Here in its least form, logit P = θ + φ·tanh(gap / s) with s the
standard deviation of the gaps, so that it can be fitted to any prompts. The win rate is
logistic(θ).

The interval resamples prompts and fits again. The spread of fitted probabilities over prompts,
which is sometimes reported in its place, says nothing about how sure the win rate is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import expit

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.stats.arrays import CONFIDENCE, Clusters, codes, finite, same_length, too_few
from fairlead.stats.means import mean_estimate
from fairlead.stats.proportions import exact_proportion

Floats = NDArray[np.float64]

LEAST_OVERLAP = 0.1
"""Share of the rarer side, longer or shorter, below which equal lengths are an extrapolation."""

RIDGE = 1e-6
"""Keeps coefficients finite where the data is separable; too weak to be seen elsewhere."""

STEPS, LONGEST_STEP, TOLERANCE = 100, 3.0, 1e-9
CHUNK = 50
"""Resamples fitted at once."""


@dataclass(frozen=True)
class LengthControlled:
    """A fitted win rate."""

    constant: float
    """θ, in logits."""
    slope: float
    """φ, in logits: how much a much longer reply gains; below 0 it loses."""
    scale: float
    """s, in the units of the gaps."""
    draws: Floats
    """[resample] constants of the refits."""
    prompts: int
    seed: Seed

    def win_rate(self, level: float = CONFIDENCE) -> Estimate:
        """Probability that the candidate is preferred at equal length."""
        # As far out as t reaches beyond the normal: plain percentiles are too close for few prompts
        # (expanded percentiles; Hesterberg 2015, The American Statistician 69, 371-386).
        reach = stats.t.ppf((1 + level) / 2, self.prompts - 1)
        tail = float(stats.norm.cdf(-reach * np.sqrt(self.prompts / (self.prompts - 1))))
        low, high = np.quantile(expit(self.draws), [tail, 1 - tail]).tolist()
        times = len(self.draws)
        found = Estimate(
            value=float(expit(self.constant)),
            low=low,
            high=high,
            n=self.prompts,
            method=f"logistic fit at equal length, refitted on {times} resamples of prompts",
            seed=self.seed.value,
            level=level,
        )
        return _widened(found)

    def at(self, gaps: ArrayLike) -> Floats:
        """The fitted probability at differences of length."""
        return expit(self.constant + self.slope * np.tanh(np.asarray(gaps) / (self.scale or 1.0)))


def raw_win_rate(
    preferences: ArrayLike, *, clusters: Clusters | None = None, level: float = CONFIDENCE
) -> Estimate:
    """Mean preference; the interval is widened where no two judgements differ.

    Args:
        preferences: [pair] probability that the candidate's reply is the better one.
        clusters: [pair] its prompt; None where every pair has its own.
        level: confidence of the interval.

    Raises:
        DataError: nothing, a nan, or fewer than two prompts.
    """
    return _widened(mean_estimate(preferences, clusters=clusters, level=level))


def overlap(gaps: ArrayLike) -> float:
    """Share of pairs on the rarer side: candidate no longer, or no shorter, than the baseline."""
    array = finite(gaps, "differences of length")
    return float(min((array >= 0).mean(), (array <= 0).mean()))


def length_controlled_win_rate(
    preferences: ArrayLike,
    gaps: ArrayLike,
    *,
    style: ArrayLike | None = None,
    clusters: Clusters | None = None,
    seed: Seed,
    resamples: int = 1000,
) -> LengthControlled:
    """The win rate at equal length, with an interval from refitting on resampled prompts.

    Args:
        preferences: [pair] probability that the candidate's reply is the better one, 0 to 1.
        gaps: [pair] length of the candidate's reply less that of the baseline's.
        style: [pair, feature] further differences to take out, signed alike; zero is "no
            difference".
        clusters: [pair] its prompt; whole prompts are resampled.
        seed: of the resampling.
        resamples: how often to fit again.

    Raises:
        DataError: the arrays do not pair up, preferences are not from 0 to 1, there are fewer than
            two prompts, or lengths overlap too little (`LEAST_OVERLAP`).
    """
    labels, lengths = finite(preferences, "preferences"), finite(gaps, "differences of length")
    other = np.zeros((labels.size, 0)) if style is None else np.asarray(style, dtype=np.float64)
    same_length(preferences=labels, gaps=lengths, style=other)
    if labels.min() < 0 or labels.max() > 1:
        raise DataError(
            "preferences that are not probabilities",
            expected="numbers from 0 to 1",
            got=f"{labels.min():g} to {labels.max():g}",
        )
    _check_overlap(lengths)
    groups = codes(clusters, labels.size)
    count = int(groups.max()) + 1
    if count < 2:
        raise too_few("a win rate", count)
    fit = partial(_fitted, labels, lengths, other)
    constant, slope = fit(np.ones((1, labels.size)))[0, :2]
    draws = _refitted(fit, groups, count, seed, resamples)
    spread = float(lengths.std())
    return LengthControlled(float(constant), float(slope), spread, draws, count, seed)


def fit_logistic(features: ArrayLike, labels: ArrayLike, weights: ArrayLike) -> Floats:
    """Coefficients of a logistic model with soft labels, by Newton's method.

    Several weightings of the same data are fitted at once.

    Args:
        features: [fit, row, feature], or [1, row, feature] where they are the same in all fits.
        labels: [row] from 0 to 1.
        weights: [fit, row], not negative.

    Returns:
        [fit, feature], in logits.
    """
    x = np.asarray(features, dtype=np.float64)
    y, w = np.asarray(labels, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    coefficients = np.zeros((w.shape[0], x.shape[-1]))
    ridge = RIDGE * np.eye(x.shape[-1])
    across = np.swapaxes(x, 1, 2)
    for _ in range(STEPS):
        chances = expit((x @ coefficients[:, :, None])[..., 0])
        slope = (across @ (w * (y - chances))[..., None])[..., 0] - RIDGE * coefficients
        curvature = across @ ((w * chances * (1 - chances))[..., None] * x) + ridge
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        # A long step comes from a flat place and lands anywhere.
        longest = np.abs(step).max(axis=1, keepdims=True)
        coefficients += step * np.minimum(1.0, LONGEST_STEP / np.maximum(longest, LONGEST_STEP))
        if longest.max() < TOLERANCE:
            break
    return coefficients


def _fitted(labels: Floats, lengths: Floats, style: Floats, weights: Floats) -> Floats:
    """[fit, 2 + style] constant, slope of length, slopes of style under each weighting."""
    scales = _spread(lengths[:, None], weights)
    length = np.tanh(lengths[None, :, None] / scales)
    rest = style[None] / _spread(style, weights)
    return fit_logistic(np.concatenate([np.ones_like(length), length, rest], 2), labels, weights)


def _spread(columns: Floats, weights: Floats) -> Floats:
    """[fit, 1, column] weighted standard deviations; 1 where a column does not vary."""
    shares = weights / weights.sum(axis=1, keepdims=True)
    means = shares @ columns
    variances = shares @ columns**2 - means**2
    return np.sqrt(np.where(variances > 1e-12, variances, 1.0))[:, None, :]


def _refitted(
    fit: Callable[[Floats], Floats],
    groups: NDArray[np.int64],
    count: int,
    seed: Seed,
    resamples: int,
) -> Floats:
    """[resample] constants."""
    generator = seed.numpy()
    sizes = [len(part) for part in np.array_split(np.empty(resamples), -(-resamples // CHUNK))]
    even = np.full(count, 1 / count)
    drawn = (generator.multinomial(count, even, size).astype(np.float64) for size in sizes)
    return np.concatenate([fit(times[:, groups])[:, 0] for times in drawn])


def _check_overlap(gaps: Floats) -> None:
    if (share := overlap(gaps)) < LEAST_OVERLAP:
        side = "longer" if (gaps > 0).mean() > 0.5 else "shorter"
        raise DataError(
            "no win rate at equal length: it would be an extrapolation",
            expected=f"at least {LEAST_OVERLAP:.0%} of the pairs on either side",
            got=f"{share:.1%} on one side; the candidate's replies are nearly always {side}",
            remedy="read the raw win rate with the lengths, or ask for replies of one length",
        )


def _widened(found: Estimate) -> Estimate:
    """An interval of no width is widened by the share of prompts that may yet differ."""
    if found.low < found.high:
        return found
    unseen = exact_proportion(0, found.n, level=found.level).high
    return found.model_copy(
        update={
            "low": found.value * (1 - unseen),
            "high": found.value + (1 - found.value) * unseen,
            "method": f"{found.method}; widened by the exact bound of 0 in {found.n}",
        }
    )
