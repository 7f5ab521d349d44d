import numpy as np
import pytest
from scipy.special import expit

from fairlead.core.seeds import Seed
from fairlead.stats.calibration import (
    area_under_curve,
    calibration_error,
    equal_size_error,
    largest_gap,
    log_loss,
    null_band,
    temperature,
)


def test_worked_by_hand() -> None:
    # Two cases at 0.95, of which one happens: gap 0.45. Two at 0.25, none happens: gap 0.25.
    chances, happened = np.array([0.95, 0.95, 0.25, 0.25]), np.array([1.0, 0.0, 0.0, 0.0])
    assert calibration_error(chances, happened) == pytest.approx((0.45 + 0.25) / 2)


def test_true_probabilities_are_calibrated() -> None:
    random = Seed(0).numpy()
    chances = random.random(50_000)
    happened = (random.random(50_000) < chances).astype(float)
    assert calibration_error(chances, happened) < 0.01
    assert calibration_error(chances**2, happened) > 0.1


def test_certainty_lies_in_the_last_bin() -> None:
    assert calibration_error(np.array([1.0, 1.0]), np.array([1.0, 1.0])) == 0.0


def test_curve_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    random = Seed(1).numpy()
    scores, positive = random.integers(0, 9, 200).astype(float), random.integers(0, 2, 200)
    expected = roc_auc_score(positive, scores)
    assert area_under_curve(scores, positive.astype(float)) == pytest.approx(expected)
    assert area_under_curve(scores, np.zeros(200)) == 0.5


def test_equal_bins_worked_by_hand() -> None:
    # Four cases in two bins: 0.6 and 0.7 (one right), 0.8 and 0.9 (both right).
    chances, happened = np.array([0.9, 0.6, 0.8, 0.7]), np.array([1.0, 1.0, 1.0, 0.0])
    gaps = abs((1 + 0) - (0.6 + 0.7)), abs(2 - (0.8 + 0.9))
    assert equal_size_error(chances, happened, bins=2) == pytest.approx(sum(gaps) / 4)
    assert largest_gap(chances, happened, bins=2) == pytest.approx(max(gaps) / 2)


def test_equal_chances_share_a_bin_whatever_their_order() -> None:
    chances, happened = np.full(100, 0.7), np.repeat([1.0, 0.0], [70, 30])
    assert equal_size_error(chances, happened) == pytest.approx(0.0)


@pytest.mark.parametrize(("n", "expected"), [(100, 0.088), (500, 0.041), (5000, 0.013)])
def test_a_calibrated_scorer_shows_an_error(n: int, expected: float) -> None:
    """The error of a reward whose differences spread by 3.2 and are exactly calibrated."""
    chances = expit(np.abs(Seed(2).numpy().normal(0, 3.2, n)))
    found = [
        null_band(
            expit(np.abs(Seed(i).numpy().normal(0, 3.2, n))), 0.0, seed=Seed(i), draws=100
        ).mean
        for i in range(20)
    ]
    assert np.mean(found) == pytest.approx(expected, abs=0.0025)
    assert null_band(chances, 1.0, seed=Seed(3)).p == pytest.approx(1 / 1001)


def test_the_null_band_holds_errors_of_calibrated_scorers() -> None:
    random = Seed(4).numpy()
    inside = rejected = 0
    for i in range(400):
        chances = expit(np.abs(random.normal(0, 2, 200)))
        error = equal_size_error(chances, (random.random(200) < chances).astype(float))
        band = null_band(chances, error, seed=Seed(i), draws=400)
        inside += band.low <= error <= band.high
        rejected += band.p <= 0.05
    assert 0.92 <= inside / 400 <= 0.98
    assert rejected / 400 <= 0.08


def test_simulated_errors_are_those_of_the_estimator() -> None:
    random = Seed(5).numpy()
    chances = random.choice([0.55, 0.7, 0.7, 0.9], 60)
    happened = (Seed(6).numpy().random((300, 60)) < np.sort(chances)).astype(float)
    errors = [equal_size_error(np.sort(chances), row) for row in happened]
    assert null_band(np.sort(chances), 0.0, seed=Seed(6), draws=300).mean == pytest.approx(
        np.mean(errors)
    )


def test_temperature_is_found_again() -> None:
    random = Seed(7).numpy()
    true = random.normal(0, 2, 20_000)
    chosen = (random.random(20_000) < expit(true)).astype(float)
    assert temperature(3 * true, chosen) == pytest.approx(3.0, rel=0.05)
    assert log_loss(true, chosen).mean() < log_loss(3 * true, chosen).mean()


def test_surprise_is_the_cross_entropy() -> None:
    found = log_loss(np.array([0.0, np.log(3)]), np.array([1.0, 0.25]))
    assert found == pytest.approx([np.log(2), -0.25 * np.log(0.75) - 0.75 * np.log(0.25)])
