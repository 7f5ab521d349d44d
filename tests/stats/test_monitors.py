"""Monitors against brute force and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.stats.monitors import auroc, draws_of, monitored, percentiles


def test_by_hand() -> None:
    scores = [90, 80, 80, 70, 60, 50]
    bad = [1, 1, 0, 1, 0, 0]
    found = monitored(scores, bad, false_alarms=0.4)
    # One of three harmless units may be flagged: the threshold is 70, where all bad ones are.
    assert found.rate[0] == 0.5
    assert found.caught[0] == 1.0
    assert found.cleared[0] == pytest.approx(2 / 3)
    assert found.missed[0] == 0.0
    assert found.balanced[0] == pytest.approx(2 / 3)
    strict = monitored(scores, bad, false_alarms=0.01)
    assert strict.caught[0] == pytest.approx(1 / 3)
    assert strict.missed[0] == pytest.approx(1 / 3)


def brute(scores: np.ndarray, bad: np.ndarray, bound: float) -> float:
    best = 0.0
    for threshold in scores:
        flagged = scores >= threshold
        if flagged[~bad].mean() <= bound + 1e-12:
            best = max(best, float(flagged[bad].mean()))
    return best


@pytest.mark.parametrize("seed", range(10))
def test_against_brute_force_and_scikit_learn(seed: int) -> None:
    draws = Seed(seed).numpy()
    bad = draws.random(80) < 0.3
    scores = draws.integers(0, 12, 80) + 3 * bad
    found = monitored(scores, bad, false_alarms=0.1)
    assert found.caught[0] == pytest.approx(brute(scores, bad, 0.1))
    assert found.auroc[0] == pytest.approx(roc_auc_score(bad, scores))
    assert auroc(scores, bad) == pytest.approx(roc_auc_score(bad, scores))


def test_weights_are_repetitions() -> None:
    draws = Seed(1).numpy()
    scores, bad = draws.normal(size=40), draws.random(40) < 0.4
    counts = draws.integers(0, 4, 40)
    rows = np.repeat(np.arange(40), counts)
    repeated = monitored(scores[rows], bad[rows], false_alarms=0.05)
    weighed = monitored(scores, bad, false_alarms=0.05, weights=counts[None])
    for name in ("rate", "caught", "cleared", "auroc", "missed"):
        assert getattr(weighed, name)[0] == pytest.approx(getattr(repeated, name)[0]), name


def test_what_the_monitor_never_read_is_never_flagged() -> None:
    found = monitored([-np.inf, 5.0, 1.0, 0.0], [True, True, False, False])
    assert found.caught[0] == 0.5 and found.missed[0] == 0.25
    # Nothing honest: no threshold can be set, and every hack counts as missed.
    assert monitored([5.0, 4.0], [True, True]).missed[0] == 1.0
    assert monitored([5.0, 4.0], [False, False]).missed[0] == 0.0


def test_draws_take_whole_clusters() -> None:
    drawn = draws_of(["a", "a", "b", "c"], 4, Seed(0), 200)
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 1:].sum(1) == 3).all()


def test_percentiles_count_what_is_undefined() -> None:
    draws = np.append(np.linspace(0, 1, 99), np.nan)
    found = percentiles(0.5, draws, 10, Seed(0))
    assert "1 of them undefined" in found.method
    assert found.low == pytest.approx(0.025, abs=0.01)
    assert np.isnan(percentiles(0.5, np.full(100, np.nan), 10, Seed(0)).low)


def test_errors() -> None:
    with pytest.raises(DataError, match="no monitor"):
        monitored([np.nan, 1.0], [True, False])
    with pytest.raises(DataError, match="one unit"):
        draws_of(["a", "a"], 2, Seed(0))
