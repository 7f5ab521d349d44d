"""Looks at a gate: published boundaries, and false passes over many looks in simulation."""

import numpy as np
import pytest
from scipy import stats

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.stats.sequential import (
    boundaries,
    confidence_sequence,
    fractions_of,
    look_levels,
    spent,
)

TEN = np.arange(1, 11) / 10


def test_all_is_spent_at_the_end():
    for spending in ("obrien_fleming", "pocock"):
        each = spent(TEN, alpha=0.05, spending=spending)
        assert each[-1] == pytest.approx(0.05)
        assert (np.diff(each) > 0).all()


def test_boundaries_equal_published_ones():
    # Five even looks, two-sided 5 %: as Reboussin et al. 2000 and the R package ldbounds.
    fifths = np.arange(1, 6) / 5
    cautious = boundaries(fifths, alpha=0.025, spending="obrien_fleming")
    assert cautious == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-3)
    even = boundaries(fifths, alpha=0.025, spending="pocock")
    assert even == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=2e-3)


def test_one_look_is_an_ordinary_gate():
    assert boundaries([1.0], alpha=0.05) == pytest.approx([stats.norm.ppf(0.95)])
    assert look_levels([1.0], alpha=0.05) == pytest.approx([0.9])


def _passes(levels, seed: int, runs: int = 4000, items: int = 50) -> float:
    """Share of runs in which a harm at the margin looks smaller at one of the looks."""
    draws = Seed(seed).numpy().normal(0, 1, (runs, len(levels), items))
    count = items * np.arange(1, len(levels) + 1)
    z = draws.sum(-1).cumsum(-1) / np.sqrt(count)
    return float((z < -stats.norm.ppf((1 + np.asarray(levels)) / 2)).any(-1).mean())


def test_false_passes_over_ten_looks():
    # Three standard errors of 4,000 runs at 5 %.
    room = 3 * np.sqrt(0.05 * 0.95 / 4000)
    assert _passes(look_levels(TEN, spending="obrien_fleming"), 1) <= 0.05 + room
    assert _passes(look_levels(TEN, spending="pocock"), 2) <= 0.05 + room
    # Without either, looking ten times is what it is feared to be.
    assert _passes(np.full(10, 0.9), 3) > 0.15


def test_uneven_looks_spend_no_more():
    uneven = [0.05, 0.3, 0.35, 0.9, 1.0]
    draws = Seed(5).numpy().normal(0, 1, (20000, 5))
    paths = (draws * np.sqrt(np.diff(uneven, prepend=0))).cumsum(-1) / np.sqrt(uneven)
    for spending in ("obrien_fleming", "pocock"):
        crossed = (paths > boundaries(uneven, alpha=0.05, spending=spending)).any(-1).mean()
        assert crossed == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 20000))


def test_looks_must_rise():
    with pytest.raises(DataError, match="cannot be planned"):
        boundaries([0.5, 0.4], alpha=0.05)
    with pytest.raises(DataError, match="rising numbers"):
        fractions_of([10, 10], 20)
    assert fractions_of([5, 20], 20).tolist() == [0.25, 1.0]


def test_confidence_sequence_by_hand():
    first = confidence_sequence([1.0, 0.0], level=0.95)[0]
    # The first bet is capped at 1/2; the centre is the value, and nothing is below its bound.
    cost = (np.log(2) - 0.5) * 0.25
    assert first.value == 1.0
    assert first.low == pytest.approx(max(0.0, 1 - (np.log(40) + cost) / 0.5))


def test_confidence_sequence_holds_at_every_look():
    wrong, runs = 0, 400
    for seed in range(runs):
        values = Seed(seed).child("sequence").numpy().random(200) < 0.1
        looks = confidence_sequence(values * 1.0, level=0.9)
        wrong += any(look.high < 0.1 for look in looks)
    # One side of 90 %: at most 5 %.
    assert wrong / runs <= 0.05


def test_confidence_sequence_closes_in_and_scales():
    values = (Seed(1).numpy().random(3000) < 0.1) * 2.0 - 1.0
    looks = confidence_sequence(values, bounds=(-1.0, 1.0), level=0.9)
    widths = np.array([look.high - look.low for look in looks])
    assert (np.diff(widths) <= 1e-12).all()
    assert widths[-1] < 0.15
    assert looks[-1].low < -0.8 < looks[-1].high
    with pytest.raises(DataError, match="outside their bounds"):
        confidence_sequence([0.5, 1.5])
