"""How reward gained depends on the distance travelled, and where more of it begins to harm.

With d the square root of the KL to the reference, gold reward gained follows d (a - b d) for
best-of-n and d (a - b log d) for reinforcement learning (Gao et al. 2022, arXiv:2210.10760,
equations 1 and 2). Both are linear in a and b, so that weighted least squares with a, b >= 0 has a
closed form, and thousands of resamples cost little.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.gates import LEVEL
from fairlead.core.seeds import Seed
from fairlead.stats.arrays import CONFIDENCE
from fairlead.stats.looks import ERROR, Fall, first_fall

Form = Literal["best_of_n", "rl"]
"""d (a - b d), or d (a - b log d)."""

FORMS: tuple[Form, ...] = ("best_of_n", "rl")

NEAR = 0.1
"""Points nearer to the reference than this (√nats) take no part in a fit: their gain is noise over
nearly nothing, and the slope of the second form has no bound there."""

LEAST_POINTS = 4
"""Points besides the reference: with fewer, AICc of two coefficients does not exist."""

FARTHEST = 1000.0
"""Most times the distance of the peak that is told apart; a peak at the reference itself has
infinitely many."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """One form, fitted."""

    form: Form
    a: float
    b: float
    aicc: float
    """Akaike's criterion for small samples; the lower of two forms describes the points better."""

    def gain(self, distance: ArrayLike) -> Array:
        """Gold reward gained at a distance (√nats)."""
        d = np.asarray(distance, dtype=np.float64)
        return d * (self.a - self.b * _shape(self.form, d))

    @property
    def peak_distance(self) -> float:
        """Distance at which the curve is highest; infinite where it never falls."""
        return float(_peaks(self.form, np.array([self.a]), np.array([self.b]))[0])

    @property
    def peak_gain(self) -> float:
        """Gain there; infinite where the curve never falls."""
        peak = self.peak_distance
        return float(self.gain(peak)) if math.isfinite(peak) else math.inf


@dataclass(frozen=True)
class Curve:
    """Gold reward along a path, fitted, with the place of its peak."""

    fit: Fit
    fits: tuple[Fit, ...]
    """All forms that were compared, the best first."""
    seen: bool
    """Whether the fitted peak lies within what was observed; only then is it stated."""
    peak_kl: Estimate | None
    """KL at the peak in nats; None where no peak was seen. An upper end of nan: no end was seen."""
    peak_gain: Estimate | None
    """Gain at the peak; None where no peak was seen."""
    peak_beyond: float
    """The peak lies at this KL (nats) or further, with a one-sided confidence of 95 %."""
    reach: float
    """Largest KL observed, in nats."""
    headroom: Estimate | None = None
    """KL used over KL at the peak, where asked for; above 1 the peak lies behind."""


def fit_form(distances: ArrayLike, gains: ArrayLike, errors: ArrayLike, form: Form) -> Fit:
    """Weighted least squares of one form, with both coefficients at least 0.

    Args:
        distances: [point] √KL.
        gains: [point] gold reward less the reference's.
        errors: [point] standard error of each gain.
        form: which form.

    Raises:
        DataError: fewer than four points lie away from the reference.
    """
    d, y, e = (np.asarray(x, dtype=np.float64) for x in (distances, gains, errors))
    used = _used(d, e)
    a, b, misfit = _solve(d[None, used], y[None, used], e[used], form)
    points = int(used.sum())
    aicc = float(misfit[0]) + 4 + 12 / (points - 3)
    return Fit(form, float(a[0]), float(b[0]), aicc)


def fit_curve(
    kl: ArrayLike,
    gold: ArrayLike,
    *,
    seed: Seed,
    forms: Sequence[Form] = FORMS,
    used: int | None = None,
    resamples: int = 2000,
    level: float = CONFIDENCE,
) -> Curve:
    """Fits a path's gold reward, and resamples prompts, fitting again, for the peak's interval.

    Forms are compared by AICc, in every resample anew. A peak outside the observed distances is
    not stated: then only a lower bound of its place is.

    Args:
        kl: [point, prompt] KL to the reference in nats; the first point is the reference, with 0.
            [point] where it is known.
        gold: [point, prompt] gold reward, all points on the same prompts.
        seed: of the resampling.
        forms: forms to choose from.
        used: the point whose headroom is asked for; its interval is of 90 %, for a gate.
        resamples: how often to draw.
        level: confidence of the peak's interval.

    Raises:
        DataError: shapes do not match, or fewer than four points lie away from the reference.
    """
    distances2, gain = _tables(kl, gold)
    prompts = gain.shape[1]
    errors = gain.std(axis=1, ddof=1) / math.sqrt(prompts)
    travelled = np.maximum(distances2.mean(axis=1), 0.0)
    fits = [fit_form(np.sqrt(travelled), gain.mean(axis=1), errors, form) for form in forms]
    fits.sort(key=lambda fit: fit.aicc)
    best, reach = fits[0], float(travelled.max())
    weights = seed.numpy().multinomial(prompts, np.full(prompts, 1 / prompts), resamples) / prompts
    moved = np.maximum(weights @ distances2.T, 0.0)
    peaks, heights = _resampled(np.sqrt(moved), weights @ gain.T, errors, np.sqrt(travelled), forms)
    place = best.peak_distance**2
    seen = place <= reach
    method = (
        f"fit of {best.form}, percentile bootstrap over prompts with refit, {resamples} resamples"
    )
    headroom = None
    if used is not None:
        headroom = _headroom(
            place, travelled[used], peaks**2, moved[:, used], seen, prompts, method
        )
        headroom = headroom.model_copy(update={"seed": seed.value})
    ends = ((1 - level) / 2, (1 + level) / 2)

    def stated(value: float, draws: Array) -> Estimate:
        low, high = np.quantile(draws, ends, method="inverted_cdf")
        return Estimate(
            value=value, low=low, high=high, n=prompts, method=method, seed=seed.value, level=level
        )

    return Curve(
        fit=best,
        fits=tuple(fits),
        seen=seen,
        peak_kl=stated(place, peaks**2) if seen else None,
        peak_gain=stated(best.peak_gain, heights) if seen else None,
        peak_beyond=min(_quantile(peaks**2, 1 - CONFIDENCE), reach),
        reach=reach,
        headroom=headroom,
    )


def onset(
    kl: ArrayLike, gold: ArrayLike, proxy: ArrayLike, *, error: float = ERROR
) -> tuple[float, Fall] | None:
    """The first KL at which gold is shown to fall while the proxy rises.

    Slopes are those between two points of the path, ordered by KL: that of gold has its upper bound
    below 0 and that of the proxy its lower bound above 0. Bounds hold over all pairs of points
    together (see `first_fall`).

    Args:
        kl: [point, prompt] or [point], in nats.
        gold: [point, prompt].
        proxy: [point, prompt].
        error: chance of an onset where gold never falls.

    Returns:
        KL in nats and the fall, whose looks are places in the order of KL; None for none.

    Raises:
        DataError: shapes do not match.
    """
    distances = np.asarray(kl, dtype=np.float64)
    means = distances.reshape(len(distances), -1).mean(axis=1)
    order = np.argsort(means, kind="stable")
    fall = first_fall(np.asarray(gold)[order], np.asarray(proxy)[order], error=error)
    return None if fall is None else (float(means[order][fall.at]), fall)


def _headroom(
    place: float,
    spent: float,
    peaks: Array,
    moved: Array,
    seen: bool,
    prompts: int,
    method: str,
) -> Estimate:
    """KL used over KL at the peak, as a gate's estimate; one bound where no peak was seen."""
    draws = moved / np.maximum(peaks, moved / FARTHEST)
    draws = np.where(moved > 0, draws, 0.0)
    low, high = (_quantile(draws, q) for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    value = spent / max(place, spent / FARTHEST) if spent > 0 else 0.0
    if not seen:
        low, value, method = 0.0, high, f"{method}; no peak was seen, an upper bound only"
    return Estimate(value=value, low=low, high=high, n=prompts, method=method, level=LEVEL)


def _resampled(
    distances: Array, gains: Array, errors: Array, observed: Array, forms: Sequence[Form]
) -> tuple[Array, Array]:
    """Distance and height of the peak in each resample, by the form that fits it best."""
    used = _used(observed, errors)
    d, y, e = distances[:, used], gains[:, used], errors[used]
    peaks = np.full(len(d), np.inf)
    heights = np.full(len(d), np.inf)
    least = np.full(len(d), np.inf)
    for form in forms:
        a, b, misfit = _solve(d, y, e, form)
        own = _peaks(form, a, b)
        finite = np.isfinite(own)
        top = np.full(len(d), np.inf)
        top[finite] = own[finite] * (a[finite] - b[finite] * _shape(form, own[finite]))
        better = misfit < least
        peaks, heights = np.where(better, own, peaks), np.where(better, top, heights)
        least = np.minimum(misfit, least)
    return peaks, heights


def _solve(d: Array, y: Array, errors: Array, form: Form) -> tuple[Array, Array, Array]:
    """a, b >= 0 and the weighted squares left over, for each row of points."""
    first, second, target = d / errors, -d * _shape(form, d) / errors, y / errors
    xx, zz, xz = (first**2).sum(1), (second**2).sum(1), (first * second).sum(1)
    xy, zy = (first * target).sum(1), (second * target).sum(1)
    determinant = xx * zz - xz**2
    with np.errstate(divide="ignore", invalid="ignore"):
        a = (xy * zz - zy * xz) / determinant
        b = (zy * xx - xy * xz) / determinant
    inside = (a >= 0) & (b >= 0)
    alone_a, alone_b = np.maximum(xy / xx, 0.0), np.maximum(zy / np.maximum(zz, 1e-300), 0.0)
    # On a border one coefficient is 0: whichever border leaves less.
    rather_a = alone_a * xy >= alone_b * zy
    a = np.where(inside, a, np.where(rather_a, alone_a, 0.0))
    b = np.where(inside, b, np.where(rather_a, 0.0, alone_b))
    left = ((target - a[:, None] * first - b[:, None] * second) ** 2).sum(1)
    return a, b, left


def _peaks(form: Form, a: Array, b: Array) -> Array:
    """d* = a / (2 b), or exp(a / b - 1)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = a / (2 * b) if form == "best_of_n" else np.exp(a / b - 1)
    return np.where(b > 0, found, np.inf)


def _shape(form: Form, d: Array) -> Array:
    return d if form == "best_of_n" else np.log(np.maximum(d, 1e-12))


def _used(distances: Array, errors: Array) -> NDArray[np.bool_]:
    used = (distances >= NEAR) & (errors > 0)
    if used.sum() < LEAST_POINTS:
        raise DataError(
            "no curve through so few points",
            expected=f"at least {LEAST_POINTS} points with a KL of {NEAR**2:g} nats or more and "
            "gains that differ between prompts",
            got=str(int(used.sum())),
            remedy="add checkpoints, or points between the baseline and the candidate",
        )
    return used


def _tables(kl: ArrayLike, gold: ArrayLike) -> tuple[Array, Array]:
    """KL and gain, both [point, prompt]."""
    reward = np.asarray(gold, dtype=np.float64)
    distances = np.asarray(kl, dtype=np.float64)
    if distances.ndim == 1 and reward.ndim == 2:
        distances = np.repeat(distances[:, None], reward.shape[1], axis=1)
    right = reward.ndim == 2 and distances.shape == reward.shape and reward.shape[1] > 1
    if not right or not np.isfinite(reward).all() or not np.isfinite(distances).all():
        raise DataError(
            "no curve from these tables",
            expected="finite [point, prompt] KL and gold of one shape, with two or more prompts",
            got=f"{distances.shape} and {reward.shape}",
            remedy="score the same prompts at every point",
        )
    return distances, reward - reward[0]


def _quantile(draws: Array, level: float) -> float:
    """Of draws that may be infinite."""
    return float(np.quantile(draws, level, method="inverted_cdf"))
