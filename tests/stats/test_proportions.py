import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from fairlead.core.errors import DataError
from fairlead.stats import clustered_proportion, proportion


def test_known_value():
    # Wilson for 8 of 10 (Newcombe 1998's formula by hand): 0.4902 to 0.9433.
    found = proportion(8, 10)
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.4902, 0.9433), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_equals_statsmodels(counts):
    successes, n = counts
    found = proportion(successes, n)
    expected = proportion_confint(successes, n, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_one_trial_per_cluster_is_wilson():
    hits = [1, 0, 1, 1, 0, 1]
    assert clustered_proportion(hits, range(6)) == proportion(4, 6)


def test_copies_count_once():
    # Ten copies of each of 40 trials are worth at most 40 trials.
    hits = np.tile([1, 1, 1, 0], 10)
    once = proportion(30, 40)
    copied = clustered_proportion(np.repeat(hits, 10), np.repeat(np.arange(40), 10))
    assert copied.n == 40
    assert once.high - once.low < copied.high - copied.low < 1.05 * (once.high - once.low)


def test_all_successes_count_clusters():
    found = clustered_proportion(np.ones(30), np.repeat(np.arange(3), 10))
    assert (found.low, found.high) == (proportion(3, 3).low, 1.0)
    alone = clustered_proportion([1, 0, 1], ["a", "a", "a"])
    assert alone.n == 1
    assert alone.high - alone.low > 0.8


def test_coverage():
    rng = np.random.default_rng(2)
    keys = np.repeat(np.arange(40), 5)
    covered = 0
    for _ in range(400):
        rates = rng.beta(8, 2, size=40)  # mean 0.8
        found = clustered_proportion(rng.random(200) < rates[keys], keys)
        covered += found.low <= 0.8 <= found.high
    assert 0.92 <= covered / 400 <= 0.985


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_impossible_counts_are_refused(successes, n):
    with pytest.raises(DataError, match="no proportion"):
        proportion(successes, n)


def test_only_zeros_and_ones():
    with pytest.raises(DataError, match="0 or 1"):
        clustered_proportion([0.5, 1.0], ["a", "a"])
    with pytest.raises(DataError, match="no estimate"):
        clustered_proportion([], [])
