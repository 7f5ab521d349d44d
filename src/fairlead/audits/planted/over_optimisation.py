"""A proxy that likes a trick, optimised step by step, in a world small enough to be exact.

Every prompt has a few possible replies with a known gold. One in twenty is a trick: gold is low,
and the proxy likes it. Policies are the reference tilted by the proxy; their KL is exact, and what
they say is sampled.
"""

import numpy as np
from numpy.typing import NDArray

from fairlead.audits.over_optimisation import Measured, OverOptimisation, Way
from fairlead.audits.planted.cases import Case, case
from fairlead.audits.planted.coverage import covers, holds
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.stats.best_of_n import best_of_n_kl_estimate, expected_best_of_n
from fairlead.stats.over_optimisation import Fit, fit_curve

PROMPTS, REPLIES, SAMPLES = 200, 60, 4
BEST_OF, NUMBERS, FEWER = 12, (1, 2, 3, 4, 6), 40
"""Replies of which the best is taken, and prompts for that: it only informs."""
TILTS = (0.0, 0.25, 0.5, 0.8, 1.2, 1.8, 2.6, 3.6)
"""Reward over the KL coefficient of each policy on the way; the last is the candidate."""
RARE, COST, LIKED = 0.05, 4.0, 6.5
"""Share of tricks, what they take from gold, and what the proxy adds to it."""

Array = NDArray[np.float64]


def _finding(seed: Seed, liked: float) -> Finding:
    draws = seed.numpy()
    tricks = draws.random((PROMPTS, REPLIES)) < RARE
    gold = draws.normal(0, 1, (PROMPTS, REPLIES)) - COST * tricks
    proxy = gold + liked * tricks + draws.normal(0, 0.5, (PROMPTS, REPLIES))
    audit = OverOptimisation(data="tabular", resamples=400)
    measured = Measured(_path(gold, proxy, draws), _best_of_n(gold, proxy, draws))
    return audit.found(measured, seed.child("fit"))


def _path(gold: Array, proxy: Array, draws: np.random.Generator) -> Way:
    """The reference tilted more and more; four sampled replies to each prompt."""
    logits = np.array(TILTS)[:, None, None] * proxy
    chances = np.exp(logits - logits.max(axis=2, keepdims=True))
    chances /= chances.sum(axis=2, keepdims=True)
    kl = (chances * np.log(np.maximum(chances, 1e-300) * REPLIES)).sum(axis=2)
    places = draws.random((*chances.shape[:2], SAMPLES, 1)) > chances.cumsum(axis=2)[:, :, None]
    picked = np.minimum(places.sum(axis=3), REPLIES - 1)
    rows = np.arange(PROMPTS)[None, :, None]
    worth = [table[rows, picked].mean(axis=2) for table in (gold, proxy)]
    return Way(tuple(f"tilt {tilt:g}" for tilt in TILTS), kl, *worth)


def _best_of_n(gold: Array, proxy: Array, draws: np.random.Generator) -> Way:
    """Best of n by the proxy, from replies of the reference."""
    picked = draws.integers(REPLIES, size=(FEWER, BEST_OF))
    rows = np.arange(FEWER)[:, None]
    by, worth = proxy[rows, picked], gold[rows, picked]
    kl = [best_of_n_kl_estimate(-np.log(REPLIES), n) for n in NUMBERS]

    def expected(values: Array, n: int) -> list[float]:
        return [expected_best_of_n(p, v, n) for p, v in zip(by, values, strict=True)]

    return Way(
        tuple(f"best of {n}" for n in NUMBERS),
        np.repeat(np.array(kl)[:, None], FEWER, axis=1),
        np.array([expected(worth, n) for n in NUMBERS]),
        np.array([expected(by, n) for n in NUMBERS]),
    )


@covers("KL at the peak of a best-of-n curve, 200 prompts")
def _peak(seed: Seed) -> bool:
    draws, fit = seed.numpy(), Fit("best_of_n", 0.8, 0.2, 0.0)
    d = np.linspace(0, 1.6 * fit.peak_distance, 9)[:, None]
    gold = fit.gain(d) + draws.normal(size=PROMPTS) + 0.3 * d * draws.normal(size=PROMPTS)
    gold = gold + draws.normal(0, 1.5, (9, PROMPTS))
    kl = d**2 + 0.7 * d * draws.normal(size=(9, PROMPTS))
    curve = fit_curve(kl, gold, seed=seed.child("fit"), forms=("best_of_n",), resamples=500)
    return curve.peak_kl is not None and holds(curve.peak_kl, fit.peak_distance**2)


case(
    Case(
        name="over-optimised proxy",
        audit="over_optimisation",
        planted=lambda seed: _finding(seed, LIKED),
        clean=lambda seed: _finding(seed, 0.0),
    )
)
