import numpy as np
import pandas as pd
import pytest
from evalica import Winner
from evalica import bradley_terry as evalica_bradley_terry
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.stats.bradley_terry import davidson


def games(n, strengths, *, left=0.0, tie=None, seed=0):
    """Outcomes of n random games under Davidson's model."""
    rng = np.random.default_rng(seed)
    players = len(strengths)
    a = rng.integers(players, size=n)
    b = (a + rng.integers(1, players, size=n)) % players
    d = strengths[a] - strengths[b] + left
    weights = np.stack([np.exp(d / 2), np.full(n, tie or 0.0), np.exp(-d / 2)], 1)
    drawn = rng.random(n) * weights.sum(axis=1)
    return a, b, 1 - (drawn[:, None] > weights.cumsum(axis=1)).sum(axis=1) / 2


def test_truth_is_found():
    truth = np.random.default_rng(0).normal(size=8)
    a, b, outcome = games(40_000, truth, left=0.4, tie=0.6)
    found = davidson(a, b, outcome, 8)
    assert found.converged
    assert found.strengths == pytest.approx(truth - truth.mean(), abs=0.08)
    assert found.left.low < 0.4 < found.left.high and found.left.value == pytest.approx(
        0.4, abs=0.04
    )
    assert found.ties.value == pytest.approx(np.log(0.6), abs=0.05)


def test_without_ties_and_prior_it_is_evalica():
    truth = np.random.default_rng(1).normal(size=6)
    a, b, outcome = games(3000, truth)
    found = davidson(a, b, outcome, 6, prior_sd=1e4, intercept_sd=1e-4)
    winners = [Winner.X if x == 1 else Winner.Y for x in outcome]
    theirs = evalica_bradley_terry(a.tolist(), b.tolist(), winners, tolerance=1e-12, limit=10_000)
    log = np.log(pd.Series(theirs.scores).sort_index().to_numpy())
    assert found.strengths - found.strengths.mean() == pytest.approx(log - log.mean(), abs=1e-4)


def test_one_vote_by_hand():
    # One win, sd 1 each, no intercept: d solves d = 2 (1 - sigmoid(d)), d = 0.6803...
    found = davidson([0], [1], [1.0], 2, intercept_sd=1e-6)
    margin, error = found.difference([0], [1])
    d = float(margin[0])
    assert d == pytest.approx(2 * (1 - 1 / (1 + np.exp(-d))), abs=1e-6)
    p = 1 / (1 + np.exp(-d))
    assert float(error[0]) == pytest.approx((1 / 2 + p * (1 - p)) ** -0.5, abs=1e-6)
    assert found.win([0], [1])[0] == pytest.approx(p)


def test_a_player_who_never_wins_stays_finite():
    found = davidson([0, 1, 0, 1], [2, 2, 1, 0], [1, 1, 1, 1], 4)
    assert found.strengths[2] == found.strengths.min() < 0
    assert found.strengths[3] == pytest.approx(0, abs=1e-9)  # never played
    assert np.isfinite(found.strengths).all()


def test_swapping_sides_turns_the_intercept():
    a, b, outcome = games(500, np.array([0.0, 0.5, 1.0]), left=0.5, tie=0.5)
    found, turned = davidson(a, b, outcome, 3), davidson(b, a, 1 - outcome, 3)
    assert turned.strengths == pytest.approx(found.strengths, abs=1e-7)
    assert turned.left.value == pytest.approx(-found.left.value, abs=1e-7)


@given(st.permutations(range(4)), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_names_and_order_do_not_matter(names, seed):
    a, b, outcome = games(60, np.arange(4.0), tie=0.3, seed=seed)
    order = np.random.default_rng(seed).permutation(60)
    new = np.array(names)
    found = davidson(a, b, outcome, 4)
    renamed = davidson(new[a[order]], new[b[order]], outcome[order], 4)
    assert renamed.strengths[new] == pytest.approx(found.strengths, abs=1e-7)


def test_weights_are_copies():
    a, b, outcome = games(40, np.arange(3.0), tie=0.4)
    copied = davidson(np.tile(a, 3), np.tile(b, 3), np.tile(outcome, 3), 3)
    weighed = davidson(a, b, outcome, 3, weights=np.full(40, 3.0))
    assert weighed.strengths == pytest.approx(copied.strengths, abs=1e-7)


def test_many_pairs_of_their_own():
    # A thousand items of two replies each, three votes per item: parameters are sparse.
    n = 1000
    left, right = np.repeat(np.arange(0, 2 * n, 2), 3), np.repeat(np.arange(1, 2 * n, 2), 3)
    outcome = np.random.default_rng(0).integers(2, size=3 * n).astype(float)
    margin, error = davidson(left, right, outcome, 2 * n).difference(
        np.arange(0, 2 * n, 2), np.arange(1, 2 * n, 2)
    )
    wins = outcome.reshape(n, 3).sum(axis=1)
    assert all(np.ptp(margin[wins == w]) < 1e-7 for w in range(4))
    assert [margin[wins == w][0] for w in range(4)] == sorted(
        margin[wins == w][0] for w in range(4)
    )
    assert error.min() > 0.5


@pytest.mark.parametrize(
    ("left", "right", "outcome"),
    [([], [], []), ([0], [0], [1]), ([0], [1], [0.3]), ([0], [2], [1])],
)
def test_impossible_games_are_refused(left, right, outcome):
    with pytest.raises(DataError):
        davidson(left, right, outcome, 2)
