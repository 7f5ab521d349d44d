from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.stats.votes import expected_vote

SEED = Seed(0)


def enumerated(answers: list[str], gold: list[float], weights: list[float], n: int) -> float:
    """The same by all orders of the samples."""
    worth = {a: np.mean([g for b, g in zip(answers, gold, strict=True) if b == a]) for a in answers}
    found: list[float] = []
    for order in permutations(range(len(answers))):
        votes: dict[str, float] = {}
        for i in order[:n]:
            votes[answers[i]] = votes.get(answers[i], 0.0) + (weights[i] if answers[i] else 0)
        most = max(votes.values())
        winners = [worth[a] for a, v in votes.items() if v == most and v > 0]
        found.append(float(np.mean(winners)) if winners else 0.0)
    return float(np.mean(found))


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=2, max_size=5), st.data())
def test_it_is_the_mean_over_all_orders(answers, data):
    gold = [float(answer == "a") for answer in answers]
    n = data.draw(st.integers(1, len(answers)))
    # Eighths add up without rounding, so equal sums are ties here and there.
    weights = [data.draw(st.integers(0, 8)) / 8 for _ in answers]
    found = expected_vote(answers, gold, [n], weights=weights, orders=4000, seed=SEED)[0]
    assert found == pytest.approx(enumerated(answers, gold, weights, n), abs=0.04)


def test_all_samples_voting_leave_nothing_to_chance():
    answers = ["7", "7", "8", "9", ""]
    assert expected_vote(answers, [1, 1, 0, 0, 0], [5], orders=3, seed=SEED)[0] == 1.0
    assert expected_vote(answers, [0, 0, 1, 0, 0], [5], orders=3, seed=SEED)[0] == 0.0


def test_one_voter_is_a_random_sample_that_must_answer():
    found = expected_vote(["7", "8", "8", ""], [1, 0, 0, 0], [1], orders=20_000, seed=SEED)[0]
    assert found == pytest.approx(0.25, abs=0.01)


def test_weights_overrule_numbers():
    answers, gold = ["7", "8", "8"], [1.0, 0.0, 0.0]
    assert expected_vote(answers, gold, [3], seed=SEED)[0] == 0.0
    assert expected_vote(answers, gold, [3], weights=[0.9, 0.4, 0.4], seed=SEED)[0] == 1.0


def test_ties_are_shared():
    assert expected_vote(["7", "8"], [1.0, 0.0], [2], seed=SEED)[0] == 0.5


def test_nobody_votes():
    assert expected_vote(["", ""], [0.0, 0.0], [1, 2], seed=SEED).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("sizes", [[], [0], [3]])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(DataError, match="one voter"):
        expected_vote(["7", "8"], [1.0, 0.0], sizes, seed=SEED)


def test_negative_weights_are_refused():
    with pytest.raises(DataError, match="less than nothing"):
        expected_vote(["7", "8"], [1.0, 0.0], [1], weights=[0.1, -0.1], seed=SEED)
