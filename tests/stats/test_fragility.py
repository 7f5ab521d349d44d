"""Damage by one example: hand-worked curves, and simulations."""

import numpy as np
import pytest

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.stats.fragility import area, damage, onset, spread, susceptibility

STEPS = (0, 10, 20, 40)


def harm(*levels: float, items: int = 30) -> np.ndarray:
    """[look, item] with a little spread that does not move the mean."""
    wiggle = np.tile([0.01, -0.01], items // 2)
    return np.array(levels)[:, None] + np.outer(np.arange(len(levels)) > 0, wiggle)


def test_by_hand() -> None:
    made = harm(0.1, 0.1, 0.3, 0.3)
    assert damage(made).mean(1) == pytest.approx([0, 0, 0.2, 0.2])
    assert onset(made, STEPS, 0.05) == 20
    assert onset(made, STEPS, 0.25) == float("inf")
    # Trapezoids 0, 1, 4 over 40 steps.
    assert area(made[None, None], STEPS)[0, 0] == pytest.approx(5 / 40)


def test_spread_leaves_the_trained_category_to_runs_of_others() -> None:
    categories = np.array(["age"] * 20 + ["faith"] * 20)
    level = np.zeros((2, 1, 2, 40))
    level[0, :, 1, :20] = 0.9  # trained on age, and age alone suffers
    level += Seed(0).numpy().normal(0, 0.01, level.shape)
    found = {name: (e, p) for name, e, p in spread(level, categories, np.array(["age", "faith"]))}
    assert found["age"][0].value == pytest.approx(0, abs=0.02)
    assert found["faith"][0].value == pytest.approx(0, abs=0.02)
    level[0, :, 1, 20:] += 0.3
    found = {name: (e, p) for name, e, p in spread(level, categories, np.array(["age", "faith"]))}
    assert found["faith"][0].value == pytest.approx(0.3, abs=0.02)
    assert found["faith"][1] < 0.001 < found["age"][1]


def test_susceptibility_ranks_what_never_began_last() -> None:
    initial = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    starts = np.array([[np.inf], [np.inf], [30.0], [20.0], [10.0]])
    found = susceptibility(initial, starts)
    assert found.value == pytest.approx(-0.9746794)
    assert found.low <= found.value <= found.high <= 1
    assert np.isnan(susceptibility(initial[:4], starts[:4]).value)
    assert np.isnan(susceptibility(initial, np.full((5, 1), np.inf)).value)


def test_errors() -> None:
    with pytest.raises(DataError, match="looks"):
        area(harm(0.1, 0.2)[None], (10, 20))
    with pytest.raises(DataError, match="differ in length"):
        onset(harm(0.1, 0.2), STEPS, 0.1)
