"""Simulated intervals: does a 95 % interval hold the truth 95 times in 100?"""

from collections.abc import Callable

import numpy as np

from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.stats.gates import paired_change
from fairlead.stats.means import mean_estimate
from fairlead.stats.proportions import clustered_proportion, exact_proportion, proportion
from fairlead.stats.resampling import bootstrap

COVERAGE: dict[str, Callable[[Seed], bool]] = {}
"""By name, whether one simulated interval holds the truth."""


def covers(name: str) -> Callable[[Callable[[Seed], bool]], Callable[[Seed], bool]]:
    """Enters a simulation in the registry."""

    def register(simulate: Callable[[Seed], bool]) -> Callable[[Seed], bool]:
        assert name not in COVERAGE, f"two simulations are called {name}"
        COVERAGE[name] = simulate
        return simulate

    return register


def holds(estimate: Estimate, truth: float) -> bool:
    """Whether the interval holds the truth."""
    return estimate.low <= truth <= estimate.high


@covers("mean of a skewed score, 100 prompts")
def _mean(seed: Seed) -> bool:
    return holds(mean_estimate(seed.numpy().gamma(2.0, 1.0, 100)), 2.0)


@covers("mean over 40 clusters of 5")
def _clustered(seed: Seed) -> bool:
    draws = seed.numpy()
    values = np.repeat(draws.normal(0, 1, 40), 5) + draws.normal(0, 1, 200)
    return holds(mean_estimate(values, clusters=np.repeat(np.arange(40), 5)), 0.0)


@covers("share of 20 %, 150 items")
def _share(seed: Seed) -> bool:
    return holds(proportion(int(seed.numpy().binomial(150, 0.2)), 150), 0.2)


@covers("exact interval of 2 %, 1,000 items")
def _exact(seed: Seed) -> bool:
    return holds(exact_proportion(int(seed.numpy().binomial(1000, 0.02)), 1000), 0.02)


@covers("share over 60 clusters of 4")
def _clustered_share(seed: Seed) -> bool:
    draws = seed.numpy()
    chances = np.repeat(draws.beta(3, 7, 60), 4)
    successes = draws.random(240) < chances
    return holds(clustered_proportion(successes, np.repeat(np.arange(60), 4)), 0.3)


@covers("paired change of a share, 400 items")
def _paired(seed: Seed) -> bool:
    draws = seed.numpy()
    base = draws.random(400) < 0.2
    ours = np.where(draws.random(400) < 0.1, draws.random(400) < 0.5, base)
    truth = 0.1 * (0.5 - 0.2)
    floats = (np.asarray(side, dtype=np.float64) for side in (ours, base))
    return holds(paired_change(*floats, level=0.95), truth)


@covers("bootstrap of a ratio, 80 prompts")
def _ratio(seed: Seed) -> bool:
    draws = seed.child("data").numpy()
    below = draws.gamma(4, 1, 80)
    above = below * draws.normal(1.5, 0.3, 80)
    found = bootstrap(
        lambda a, b: float(a.mean() / b.mean()), above, below, seed=seed, resamples=400
    )
    return holds(found, 1.5)
