import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import MACE, DawidSkene, MajorityVote
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.stats.crowds import Votes, dawid_skene, mace


def simulated(seed=0, items=200, people=10, labels=3, accuracy=(0.4, 0.95)):
    """Votes of people who are right with their own probability, and the truth."""
    rng = np.random.default_rng(seed)
    truth, skill = rng.integers(labels, size=items), rng.uniform(*accuracy, people)
    i, p = np.repeat(np.arange(items), people), np.tile(np.arange(people), items)
    wrong = (truth[i] + rng.integers(1, labels, size=len(i))) % labels
    given_ = np.where(rng.random(len(i)) < skill[p], truth[i], wrong)
    return Votes(i, p, given_, items, people, labels), truth, skill


def frame(votes: Votes) -> pd.DataFrame:
    return pd.DataFrame({"task": votes.items, "worker": votes.people, "label": votes.given})


def test_dawid_skene_equals_crowd_kit():
    votes, _, _ = simulated()
    ours = dawid_skene(votes, diagonal=0, smoothing=1e-9, tolerance=1e-10)
    theirs = DawidSkene(n_iter=500, tol=1e-13).fit(frame(votes))
    expected = theirs.probas_.sort_index()[[0, 1, 2]].to_numpy()
    assert ours.soft == pytest.approx(expected, abs=1e-6)
    assert ours.convergence.converged


def test_shares_equal_crowd_kit():
    votes, _, _ = simulated(people=5)
    theirs = MajorityVote().fit(frame(votes)).probas_.sort_index().fillna(0)[[0, 1, 2]]
    assert votes.shares() == pytest.approx(theirs.to_numpy())


def test_mace_agrees_with_crowd_kit():
    votes, truth, _ = simulated(people=7, items=150)
    ours = mace(votes)
    theirs = MACE(n_restarts=3, n_iter=30, random_state=0).fit(frame(votes)).labels_.sort_index()
    assert np.mean(ours.soft.argmax(axis=1) == theirs.to_numpy()) >= 0.98
    assert np.mean(ours.soft.argmax(axis=1) == truth) >= 0.95


def test_people_are_known_by_their_accuracy():
    votes, truth, skill = simulated(items=1500)
    fitted = dawid_skene(votes)
    assert fitted.accuracy() == pytest.approx(skill, abs=0.05)
    assert np.mean(fitted.soft.argmax(axis=1) == truth) > np.mean(votes.shares().argmax(1) == truth)


def test_competence_of_people_who_guess():
    # Five people label in earnest 90 % of the time, five never; guesses are right by chance.
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=600)
    i, p = np.repeat(np.arange(600), 10), np.tile(np.arange(10), 600)
    earnest = rng.random(6000) < np.where(p < 5, 0.9, 0.0)
    votes = Votes(i, p, np.where(earnest, truth[i], rng.integers(2, size=6000)), 600, 10, 2)
    competence = mace(votes).competence
    assert [c.value for c in competence[:5]] == pytest.approx([0.9] * 5, abs=0.05)
    assert all(c.value < 0.1 for c in competence[5:])


@given(st.permutations(range(3)), st.permutations(range(10)))
@settings(max_examples=10, deadline=None)
def test_names_do_not_matter(labels, people):
    votes, _, _ = simulated(items=60)
    renamed = Votes(
        votes.items, np.array(people)[votes.people], np.array(labels)[votes.given], 60, 10, 3
    )
    for method in (dawid_skene, mace):
        assert method(renamed).soft[:, labels] == pytest.approx(method(votes).soft, abs=1e-5)


@pytest.mark.parametrize("method", [dawid_skene, mace])
def test_unfinished_iterations_say_so(method):
    votes, _, _ = simulated(items=50)
    found = method(votes, most_iterations=2).convergence
    assert not found.converged and found.iterations == 2
    assert "did NOT converge" in str(found)


@pytest.mark.parametrize("method", [dawid_skene, mace])
def test_one_person_is_believed_but_not_blindly(method):
    votes = Votes(np.arange(4), np.zeros(4, int), np.array([0, 1, 0, 1]), 4, 1, 2)
    soft = method(votes).soft
    assert soft.argmax(axis=1).tolist() == [0, 1, 0, 1]
    assert np.isfinite(soft).all() and soft.sum(axis=1) == pytest.approx(np.ones(4))


def test_weightless_people_do_not_count():
    votes, _, _ = simulated(items=80)
    weights = np.ones(10)
    weights[3:] = 0
    kept = votes.people < 3
    few = Votes(votes.items[kept], votes.people[kept], votes.given[kept], 80, 3, 3)
    weighed = Votes(votes.items, votes.people, votes.given, 80, 10, 3, weights)
    assert dawid_skene(weighed).soft == pytest.approx(dawid_skene(few).soft, abs=1e-6)


def test_the_objective_never_falls():
    votes, _, _ = simulated(items=60, people=5)
    values = [dawid_skene(votes, most_iterations=n).convergence.objective for n in range(1, 12)]
    assert np.all(np.diff(values) >= -1e-8)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(DataError, match="labels out of range"):
        Votes(np.array([0]), np.array([0]), np.array([2]), 1, 1, 2)
