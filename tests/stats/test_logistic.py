import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import t

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.stats.logistic import logistic


def _cases(n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = Seed(0).numpy()
    clusters = np.repeat(np.arange(n // 3), 3)
    x = np.column_stack(
        [np.ones(n), random.normal(size=n), np.repeat(random.normal(size=n // 3), 3)]
    )
    chance = 1 / (1 + np.exp(-(x @ [0.2, 1.0, -0.5])))
    return x, (random.random(n) < chance).astype(float), clusters


def test_is_that_of_statsmodels_with_clusters() -> None:
    x, y, clusters = _cases()
    model = sm.GLM(y, x, family=sm.families.Binomial())
    options = {"groups": clusters, "use_correction": False}
    expected = model.fit(cov_type="cluster", cov_kwds=options)
    found = logistic(x, y)
    assert found.coefficients == pytest.approx(expected.params)
    assert found.chances == pytest.approx(expected.fittedvalues)
    groups = len(set(clusters.tolist()))
    for k in range(3):
        one = found.coefficient(k, clusters=clusters)
        half = t.ppf(0.975, groups - 1) * expected.bse[k] * np.sqrt(groups / (groups - 1))
        assert one.high - one.value == pytest.approx(half)


def test_shares_are_outcomes_too() -> None:
    x = np.column_stack([np.ones(4), [0.0, 0, 1, 1]])
    found = logistic(x, [0.25, 0.25, 0.75, 0.75])
    assert found.coefficients == pytest.approx([-np.log(3), 2 * np.log(3)])


def test_features_that_part_the_outcomes_have_no_maximum() -> None:
    found = logistic(np.array([[-1.0], [-2.0], [1.0], [2.0]]), [0, 0, 1, 1])
    assert np.isnan(found.coefficients).all()
    assert np.isnan(found.coefficient(0).value)


def test_repeated_features_are_refused() -> None:
    x = np.column_stack([np.ones(4), np.ones(4)])
    with pytest.raises(DataError, match="sum of others"):
        logistic(x, [0, 1, 0, 1])


def test_outcomes_lie_between_0_and_1() -> None:
    with pytest.raises(DataError, match="no regression"):
        logistic(np.ones((2, 1)), [0, 2])
