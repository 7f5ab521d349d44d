import itertools
from math import comb, log

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest

from fairlead.core.seeds import Seed
from fairlead.stats.bundling import bundling, coefficient, sign_p, slope_per_log_n, votes


def test_votes_are_one_per_prompt() -> None:
    found = votes([1, 1, -1, 0, 1, -1], ["a", "a", "b", "c", "d", "d"])
    assert (found.preferred, found.other) == (1, 1)
    assert votes([1, 1, 1, -1]).log_odds == pytest.approx(log(3.5 / 1.5))


def test_sign_test_is_the_binomial_one() -> None:
    pairs = [(0, 0), (3, 0), (5, 5), (2, 9), (40, 25)]
    found = sign_p([a for a, _ in pairs], [b for _, b in pairs])
    expected = [binomtest(a, a + b).pvalue if a + b else 1.0 for a, b in pairs]
    assert found == pytest.approx(expected)


def _world(
    n: int, seed: int, *, rides: float, worth: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Attribute with log-odds `rides` in quality; people's log-odds: 1.5 quality + worth."""
    random = Seed(seed).numpy()
    quality = random.normal(size=(n, 2))
    a = (random.random((n, 2)) < expit(rides * quality)).astype(float)
    first = 1.5 * (quality[:, 0] - quality[:, 1]) + worth * (a[:, 0] - a[:, 1])
    chosen = (random.random(n) < expit(first)).astype(float)
    return a[:, 0] - a[:, 1], (quality[:, 0] - quality[:, 1])[:, None], chosen


def test_an_attribute_that_only_rides_is_told_from_one_that_is_preferred() -> None:
    rides = bundling(*_world(4000, 0, rides=2.0, worth=0.0))
    assert rides.marginal.low > 0.5
    assert rides.adjusted.low < 0 < rides.adjusted.high
    assert rides.index.low > 0.5
    assert rides.riding.value == pytest.approx(rides.amplified.value, abs=0.03)
    liked = bundling(*_world(4000, 1, rides=0.0, worth=1.0))
    assert liked.adjusted.low < 1.0 < liked.adjusted.high
    assert liked.amplified.low > 0.05
    assert liked.riding.low < 0 < liked.riding.high


def test_forecast_is_the_share_in_the_better_of_two() -> None:
    a, others, chosen = _world(5000, 2, rides=1.0, worth=0.5)
    found = bundling(a, others, chosen)
    better = np.where(chosen == 1, a, -a).mean() / 2
    assert found.amplified.value == pytest.approx(better / log(2))


def test_turning_pairs_changes_nothing() -> None:
    a, others, chosen = _world(500, 3, rides=1.0, worth=0.5)
    sign = np.where(Seed(4).numpy().random(500) < 0.5, -1.0, 1.0)
    one = bundling(a, others, chosen)
    other = bundling(sign * a, sign[:, None] * others, 0.5 + sign * (chosen - 0.5))
    for name in ("marginal", "adjusted", "index", "amplified", "riding"):
        x, y = getattr(one, name), getattr(other, name)
        assert (y.value, y.low, y.high) == pytest.approx((x.value, x.low, x.high))


def test_interval_of_what_rides_covers_it() -> None:
    """The truth is the mean over many more pairs of the same world."""
    truth = bundling(*_world(200_000, 5, rides=1.0, worth=0.0)).riding.value
    inside = 0
    for i in range(300):
        found = bundling(*_world(300, 100 + i, rides=1.0, worth=0.0)).riding
        inside += found.low <= truth <= found.high
    assert 0.90 <= inside / 300 <= 0.98


def test_an_attribute_on_one_side_only_has_finite_log_odds() -> None:
    a = np.ones(30)
    others = Seed(6).numpy().normal(size=(30, 1))
    found = bundling(a, others, np.ones(30))
    assert 2.0 < found.marginal.value < 6.0


def test_coefficient_of_one_feature() -> None:
    a, others, chosen = _world(6000, 7, rides=0.0, worth=0.8)
    found = coefficient(np.column_stack([a, others]), chosen, 0)
    assert found.low < 0.8 < found.high


def test_slope_is_that_of_all_subsets() -> None:
    random = Seed(8).numpy()
    proxy, a = random.normal(size=6), np.array([1.0, 0, 1, 1, 0, 0])

    def best(n: int) -> float:
        subsets = itertools.combinations(range(6), n)
        return sum(a[max(s, key=lambda i: proxy[i])] for s in subsets) / comb(6, n)

    rises, steps = [best(2) - best(1), best(3) - best(1)], [log(2), log(3)]
    expected = np.dot(rises, steps) / np.dot(steps, steps)
    assert slope_per_log_n(proxy, a, [2, 3]) == pytest.approx(expected)
