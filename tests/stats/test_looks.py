"""Falls told from noise over many looks, by simulation and by numbers worked by hand."""

import numpy as np
import pytest
from scipy import stats

from fairlead.core.errors import DataError
from fairlead.stats.looks import best_look, first_fall, lower_gains, spent_at


def test_all_looks_together_spend_the_error():
    assert sum(spent_at(look, 0.05) for look in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)
    assert spent_at(3, 0.12) == pytest.approx(0.01)


def test_a_fall_worked_by_hand():
    held_out = np.array([[0.0, 0.0, 0.0, 0.0], [-1.0, -2.0, -1.0, -2.0]])
    proxy = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 1.0, 2.0]])
    fall = first_fall(held_out, proxy)
    assert fall is not None
    half = stats.t.isf(0.025, 3) * np.sqrt(1 / 3) / 2
    assert (fall.since, fall.at) == (0, 1)
    assert fall.most == pytest.approx(-1.5 + half)
    assert fall.rise == pytest.approx(1.5 - half)


def test_a_fall_needs_a_rising_proxy():
    held_out = np.array([[0.0, 0.1], [-5.0, -5.1]])
    assert first_fall(held_out, held_out) is None
    assert first_fall(held_out, -held_out) is not None


def test_the_start_is_best_until_another_look_is_shown_to_be():
    noise = np.random.default_rng(0).normal(size=(4, 50))
    table = noise + np.array([0.0, 0.1, 5.0, 4.0])[:, None]
    assert best_look(table[:2]) == 0
    assert best_look(table) == 2
    assert lower_gains(table)[0] == 0


def runs(drift: float, seed: int, looks: int = 12, prompts: int = 40) -> tuple[np.ndarray, ...]:
    """A run whose held-out score wanders by prompt and drifts by look, and whose proxy rises."""
    draws = np.random.default_rng(seed)
    steps = draws.normal(drift, 1.0, (looks, prompts))
    return steps.cumsum(axis=0), draws.normal(1.0, 0.2, (looks, prompts)).cumsum(axis=0)


def test_false_alarms_stay_below_the_error_whatever_the_number_of_looks():
    alarms = [first_fall(*runs(0.0, seed)) is not None for seed in range(400)]
    assert sum(alarms) <= stats.binom.ppf(0.999, 400, 0.05)


def test_a_real_fall_is_found():
    assert all(first_fall(*runs(-1.0, seed)) is not None for seed in range(20))


def test_bounds_of_the_best_look_hold_though_it_was_chosen():
    missed = 0
    for seed in range(400):
        table = runs(0.0, seed)[0]
        bounds = lower_gains(table)
        missed += bounds.max() > 0
    assert missed <= stats.binom.ppf(0.999, 400, 0.05)


def test_tables_of_other_shapes_are_refused():
    with pytest.raises(DataError, match="cannot be compared"):
        first_fall(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(DataError, match="cannot be compared"):
        lower_gains(np.zeros((2, 1)))
