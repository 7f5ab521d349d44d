import numpy as np
import pytest
from scipy import sparse
from scipy import stats as scipy_stats

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.stats import bootstrap, mean_estimate
from fairlead.stats.resampling import bootstrap_of_sums

SEED = Seed(0)
RNG = np.random.default_rng(3)
SKEWED = RNG.exponential(size=80)


def test_percentile_interval_of_a_mean_is_near_the_t_interval():
    values = RNG.normal(size=200)
    found = bootstrap(np.mean, values, seed=Seed(1), interval="percentile")
    exact = mean_estimate(values)
    assert found.value == exact.value
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.02)
    assert found.method == "percentile bootstrap over units, 2000 resamples"


def test_bca_agrees_with_scipy():
    found = bootstrap(np.var, SKEWED, seed=Seed(1), resamples=4000)
    other = scipy_stats.bootstrap(
        (SKEWED,), np.var, method="BCa", n_resamples=4000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((other.low, other.high), rel=0.08)
    plain = bootstrap(np.var, SKEWED, seed=Seed(1), interval="percentile")
    assert found.high > plain.high


def test_pairs_stay_pairs():
    x = RNG.normal(size=60)
    found = bootstrap(lambda a, b: np.corrcoef(a, b)[0, 1], x, 2 * x, seed=Seed(1), resamples=200)
    assert (found.low, found.high) == pytest.approx((1.0, 1.0))


def test_clusters_are_drawn_whole():
    keys = np.repeat(np.arange(40), 10)
    values = RNG.normal(size=40)[keys]
    found = bootstrap(np.mean, values, seed=Seed(1), clusters=keys)
    single = bootstrap(np.mean, values, seed=Seed(1))
    robust = mean_estimate(values, clusters=keys)
    assert found.n == 40
    assert (found.low, found.high) == pytest.approx((robust.low, robust.high), abs=0.05)
    assert found.high - found.low > 2 * (single.high - single.low)


def test_coverage_of_bca():
    rng = np.random.default_rng(4)
    covered = 0
    for i in range(120):
        sample = rng.exponential(size=40)
        found = bootstrap(np.mean, sample, seed=Seed(i), resamples=300)
        covered += found.low <= 1 <= found.high
    # 95 % less what small skewed samples cost, with a standard error of 2 points.
    assert 0.87 <= covered / 120 <= 1


def test_the_seed_decides():
    first, again, other = (
        bootstrap(np.median, SKEWED, seed=Seed(s), resamples=200) for s in (1, 1, 2)
    )
    assert first == again
    assert first.seed != other.seed


def test_no_spread():
    found = bootstrap(np.mean, np.ones(5), seed=Seed(1), resamples=100)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    assert "no spread" in found.method


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(DataError, match="one unit"):
        bootstrap(np.mean, [1.0], seed=Seed(1))
    with pytest.raises(DataError, match="one unit"):
        bootstrap(np.mean, [1.0, 2.0], seed=Seed(1), clusters=["a", "a"])
    with pytest.raises(DataError, match="nothing to resample"):
        bootstrap(np.mean, [], seed=Seed(1))
    with pytest.raises(DataError, match="pair up"):
        bootstrap(lambda a, b: a.mean() - b.mean(), [1.0, 2.0], [1.0], seed=Seed(1))
    with pytest.raises(DataError, match="undefined on some"):
        bootstrap(lambda a: np.nan if np.ptp(a) == 0 else 1.0, [1.0, 2.0], seed=Seed(1))
    with pytest.raises(ConfigError, match="too few resamples"):
        bootstrap(np.mean, [1.0, 2.0], seed=Seed(1), resamples=10)


def test_sums_equal_the_general_bootstrap():
    values = np.random.default_rng(5).exponential(size=60)
    rows = np.stack([values, np.ones(60)], 1)
    fast = bootstrap_of_sums(lambda s: s[..., 0] / s[..., 1], rows, seed=SEED, resamples=20_000)
    slow = bootstrap(lambda x: float(x.mean()), values, seed=SEED, resamples=20_000)
    assert fast.value == pytest.approx(slow.value)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.02)


def test_sums_of_sparse_rows_are_the_same():
    rows = np.random.default_rng(6).integers(3, size=(50, 4)).astype(float)
    dense = bootstrap_of_sums(lambda s: s[..., 0] / s.sum(-1), rows, seed=SEED)
    thin = bootstrap_of_sums(lambda s: s[..., 0] / s.sum(-1), sparse.csr_array(rows), seed=SEED)
    assert thin.value == pytest.approx(dense.value)
    assert (thin.low, thin.high) == pytest.approx((dense.low, dense.high), abs=0.03)


def test_few_undefined_resamples_are_left_out_and_counted():
    rows = np.array([[1.0, 1]] * 4 + [[0.0, 1]] * 36)

    def share_where_any(sums):
        return np.where(sums[..., 0] > 0, sums[..., 0] / sums[..., 1], np.nan)

    found = bootstrap_of_sums(share_where_any, rows, seed=SEED)
    assert "of them undefined and left out" in found.method and found.low > 0
    with pytest.raises(DataError, match="undefined on some resamples"):
        bootstrap_of_sums(share_where_any, rows[3:], seed=SEED)
