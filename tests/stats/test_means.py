import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from fairlead.core.errors import DataError
from fairlead.stats import mean_estimate, paired_difference

NUMBERS = st.lists(st.floats(-100, 100), min_size=3, max_size=30)


def test_hand_worked_interval():
    # Mean 2, s = 1, t(0.975, 2) = 4.302653, half width 4.302653 / sqrt(3) = 2.484138.
    found = mean_estimate([1, 2, 3])
    assert (found.value, found.n) == (2.0, 3)
    assert (found.low, found.high) == pytest.approx((-0.484138, 4.484138), abs=1e-6)


@given(NUMBERS)
def test_equals_scipy(values):
    array = np.asarray(values)
    if np.ptp(array) < 1e-6:
        return
    low, high = scipy_stats.t.interval(
        0.95, len(array) - 1, loc=array.mean(), scale=scipy_stats.sem(array)
    )
    found = mean_estimate(array)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)


def test_clusters_equal_statsmodels():
    rng = np.random.default_rng(0)
    groups = rng.integers(12, size=60)
    values = rng.normal(size=60) + rng.normal(size=12)[groups]
    model = sm.OLS(values, np.ones(60))
    robust = model.fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    # statsmodels multiplies by (N - 1) / (N - K) too, which is 1 for a mean.
    found = mean_estimate(values, clusters=groups)
    assert (found.low, found.high) == pytest.approx(tuple(robust.conf_int()[0]), rel=1e-9)
    assert found.n == len(np.unique(groups))
    assert found.method == "mean, cluster-robust t interval"


def test_repeating_values_within_clusters_adds_no_certainty():
    values, keys = [1.0, 2.0, 4.0], ["a", "b", "c"]
    once = mean_estimate(values)
    tenfold = mean_estimate(np.repeat(values, 10), clusters=np.repeat(keys, 10))
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))


def test_coverage_of_clustered_means():
    rng = np.random.default_rng(1)
    keys = np.repeat(np.arange(20), 5)
    covered = naive = 0
    for _ in range(400):
        values = rng.normal(size=20)[keys] + rng.normal(size=100)
        found, plain = mean_estimate(values, clusters=keys), mean_estimate(values)
        covered += found.low <= 0 <= found.high
        naive += plain.low <= 0 <= plain.high
    # 95 % of 400 with a standard error of 1.1 points.
    assert 0.92 <= covered / 400 <= 0.98
    assert naive / 400 < 0.85


def test_paired_difference_is_the_mean_of_differences():
    a, b = [3.0, 5.0, 9.0], [1.0, 4.0, 6.0]
    found, differences = paired_difference(a, b), mean_estimate([2.0, 1.0, 3.0])
    assert (found.value, found.low, found.high) == (2.0, differences.low, differences.high)
    assert found.method == "paired difference: mean, t interval"
    assert paired_difference(b, a).value == -2.0


def test_no_spread_has_no_width():
    found = mean_estimate([0.1, 0.1, 0.1])
    assert (found.low, found.high) == pytest.approx((0.1, 0.1), abs=1e-15)
    assert found.low == found.high
    assert "no spread" in found.method


@pytest.mark.parametrize(
    ("values", "clusters"),
    [
        ([], None),
        ([1.0], None),
        ([1.0, 2.0], ["a", "a"]),
        ([1.0, np.nan], None),
        ([[1.0]], None),
        ([1.0, 2.0], ["a"]),
    ],
)
def test_what_gives_no_interval_is_refused(values, clusters):
    with pytest.raises(DataError):
        mean_estimate(values, clusters=clusters)


def test_pairs_must_pair_up():
    with pytest.raises(DataError, match="pair up"):
        paired_difference([1.0, 2.0], [1.0])
