import numpy as np
import pytest

from fairlead.core.seeds import Seed
from fairlead.stats.calibration import area_under_curve, calibration_error


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
