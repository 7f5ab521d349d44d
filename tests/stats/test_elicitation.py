"""Recovery, savings and what is left of a behaviour."""

import numpy as np
import pytest

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.stats.elicitation import Probed, Relearning, erasure, presence, recovery

ITEMS = 40
STEPS = (0, 1, 2, 4, 8)


def constant(*levels: float) -> np.ndarray:
    return np.repeat(np.array(levels)[:, None], ITEMS, axis=1)


def curves(aligned: tuple[float, ...], control: tuple[float, ...], base: float = 0.9) -> Relearning:
    return Relearning(STEPS, np.full(ITEMS, base), constant(*aligned), constant(*control))


def test_by_hand() -> None:
    found = recovery(
        curves((0.1, 0.5, 0.9, 0.9, 0.9), (0.1, 0.1, 0.1, 0.1, 0.5)), seed=Seed(0), resamples=100
    )
    assert found.shown.value == pytest.approx(0.8)
    assert found.recovery.value == pytest.approx(1.0)
    assert found.learned.value == pytest.approx(0.5)
    # Half of what is shown is 0.5: the candidate is there at step 1, the control at step 8.
    assert found.savings.value == pytest.approx(8.0)
    # Lead .4, .8, .8, .4 at steps 1, 2, 4, 8: areas .6, 1.6, 2.4 over 7 steps, of .8 shown.
    assert found.excess.value == pytest.approx((0.6 + 1.6 + 2.4) / 7 / 0.8)
    assert found.excess.level == 0.9


def test_savings_lie_between_looks_and_are_cut_at_the_last() -> None:
    found = recovery(
        curves((0.1, 0.3, 0.7, 0.9, 0.9), (0.1, 0.1, 0.1, 0.1, 0.1)), seed=Seed(0), resamples=100
    )
    assert found.savings.value == pytest.approx(8 / 1.5)


def test_intervals_hold_the_truth() -> None:
    hits, runs = 0, 200
    for run in range(runs):
        draws = Seed(run).child("truth").numpy()
        level = draws.normal(0, 0.05, ITEMS)
        made = Relearning(
            STEPS,
            0.9 + level + draws.normal(0, 0.1, ITEMS),
            constant(0.1, 0.3, 0.5, 0.5, 0.5) + level + draws.normal(0, 0.1, (5, ITEMS)),
            constant(0.1, 0.1, 0.1, 0.1, 0.1) + level + draws.normal(0, 0.1, (5, ITEMS)),
        )
        truth = (0.3 + 0.8 + 1.6) / 7 / 0.8
        found = recovery(made, seed=Seed(run), resamples=200)
        hits += found.excess.low <= truth <= found.excess.high
    assert 0.84 <= hits / runs <= 0.95


def test_auroc_by_hand_and_share() -> None:
    labels = np.array([True, False] * 20)
    sign = np.where(labels, 1.0, -1.0)
    made = Probed(labels, sign, sign, np.tile([1.0, 1.0], 20))
    found = presence(made, seed=Seed(0), resamples=100)
    assert (found.base.value, found.aligned.value, found.control.value) == (1.0, 1.0, 0.5)
    assert found.share.value == 1.0 and found.lost.value == 0.0


def probed(share: float, seed: int) -> Probed:
    draws = Seed(seed).child("probe").numpy()
    labels = np.arange(120) % 2 == 0
    sign = np.where(labels, 1.0, -1.0)

    def of(lead: float) -> np.ndarray:
        return lead * sign + draws.normal(0, 1, 120)

    return Probed(labels, of(1.5), of(1.5 * share), of(0.0))


def test_verdicts() -> None:
    quick, slow = (0.1, 0.8, 0.9, 0.9, 0.9), (0.1, 0.1, 0.15, 0.2, 0.3)
    masked = recovery(curves(quick, slow), seed=Seed(0), resamples=100)
    gone = recovery(curves(slow, slow), seed=Seed(0), resamples=100)
    empty = recovery(curves(slow, slow, base=0.1), seed=Seed(0), resamples=100)
    all_there = presence(probed(1.0, 0), seed=Seed(0), resamples=100)
    nothing = presence(probed(0.0, 0), seed=Seed(0), resamples=100)
    assert erasure(masked, nothing, margin=0.2) == "suppressed"
    assert erasure(masked, None, margin=0.2) == "suppressed"
    assert erasure(gone, nothing, margin=0.2) == "erased"
    assert erasure(gone, all_there, margin=0.2) == "ambiguous"
    assert erasure(empty, None, margin=0.2) == "ambiguous"
    assert not empty.informative


def test_clusters_are_drawn_whole() -> None:
    draws = Seed(3).numpy()
    own = np.repeat(draws.normal(0, 0.2, 10), 4)
    made = (constant(0.1, 0.5, 0.6, 0.6, 0.6) + own, constant(0.1, 0.1, 0.1, 0.1, 0.1))
    base = np.full(ITEMS, 0.9)
    alone = recovery(Relearning(STEPS, base, *made), seed=Seed(0))
    together = recovery(
        Relearning(STEPS, base, *made, clusters=np.repeat(np.arange(10), 4)), seed=Seed(0)
    )
    wide, narrow = together.excess, alone.excess
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert together.excess.n == 10


def test_errors() -> None:
    with pytest.raises(DataError, match="no curves"):
        Relearning((1, 2), np.ones(3), np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(DataError, match="no curves"):
        Relearning((0, 2), np.ones(3), np.ones((2, 3)), np.ones((1, 3)))
    with pytest.raises(DataError, match="both kinds"):
        presence(Probed(np.ones(4, bool), *(np.ones(4),) * 3), seed=Seed(0), resamples=100)
