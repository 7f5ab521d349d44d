"""Which items go to people, with what probability, and what may be estimated from them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.feedback.selection import (
    STRATEGIES,
    Signals,
    elbow,
    hajek,
    horvitz_thompson,
    inclusion,
    rlthf_order,
    select,
)


def signals(pool: int, seed: int = 0) -> Signals:
    rng = Seed(seed).child("signals").numpy()
    return Signals(margins=rng.normal(1, 1, pool), verdicts=rng.random((pool, 3)))


def by_hand(pool: int, random_n: int, targeted_n: int) -> np.ndarray:
    """Inclusion probabilities by going through every random sample."""
    counts, samples = np.zeros(pool), list(combinations(range(pool), random_n))
    for sample in samples:
        targeted = [k for k in range(pool) if k not in sample][:targeted_n]
        counts[[*sample, *targeted]] += 1
    return counts / len(samples)


@pytest.mark.parametrize(
    ("pool", "random_n", "targeted_n"),
    [(7, 2, 3), (6, 1, 2), (5, 2, 2), (8, 3, 0), (6, 2, 4), (9, 1, 7), (9, 3, 5)],
)
def test_propensities_are_exact(pool, random_n, targeted_n):
    expected = by_hand(pool, random_n, targeted_n)
    assert np.allclose(inclusion(pool, random_n, targeted_n), expected, atol=1e-12)


def test_propensities_of_a_case_worked_by_hand():
    # One of four at random, one targeted: the second is taken if it is drawn (1/4) or the first is.
    assert inclusion(4, 1, 1) == pytest.approx([1.0, 0.5, 0.25, 0.25])


def test_recorded_propensities_are_the_frequencies_over_many_draws():
    pool, own = 30, signals(30)
    counts = np.zeros(pool)
    for i in range(4000):
        counts[select(pool, 10, "rm_margin", seed=Seed(i), signals=own).chosen] += 1
    expected = select(pool, 10, "rm_margin", seed=Seed(0), signals=own).propensity
    error = np.sqrt(expected * (1 - expected) / 4000)
    assert np.all(np.abs(counts / 4000 - expected) <= 5 * error + 1e-12)


@given(
    pool=st.integers(2, 60),
    budget=st.integers(1, 70),
    strategy=st.sampled_from(STRATEGIES),
    share=st.floats(0.2, 1.0),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_every_selection_keeps_its_promises(pool, budget, strategy, share, seed):
    made = select(
        pool, budget, strategy, seed=Seed(seed), signals=signals(pool, seed), random_share=share
    )
    spent = min(pool, budget)
    assert len(made.chosen) == len(set(made.chosen.tolist())) == spent
    assert len(made.of_random()) == made.random_n >= share * spent - 1e-9
    assert np.all((made.propensity > 0) & (made.propensity <= 1))
    assert made.propensity.sum() == pytest.approx(spent, rel=1e-9)
    assert np.all(made.propensity >= made.random_n / pool - 1e-12)


def test_same_seed_same_selection_and_another_seed_another():
    made = [select(40, 10, "rlthf", seed=Seed(s), signals=signals(40)) for s in (3, 3, 4)]
    assert made[0].chosen.tolist() == made[1].chosen.tolist() != made[2].chosen.tolist()


def test_small_margins_come_first_whatever_their_sign():
    margins = np.array([3.0, -0.1, 2.0, 0.2, -5.0, 1.0, 4.0, -2.5, 6.0, 7.0])
    made = select(10, 5, "rm_margin", seed=Seed(0), signals=Signals(margins=margins))
    assert made.random_n == 1
    assert {1, 3, 5} <= set(made.chosen.tolist())
    assert made.propensity[[1, 3, 5]].tolist() == [1.0, 1.0, 1.0]
    assert made.propensity[9] == pytest.approx(0.1)


def test_judges_who_disagree_come_first():
    verdicts = np.array([[0.9, 0.9], [0.1, 0.9], [0.5, 0.5], [0.4, 0.6], [1.0, 0.0], [0.2, 0.2]])
    made = select(6, 3, "judge_disagreement", seed=Seed(1), signals=Signals(verdicts=verdicts))
    assert {1, 4} <= set(made.chosen.tolist())


def test_equal_items_have_equal_chances():
    counts = np.zeros(10)
    for i in range(2000):
        own = Signals(margins=np.ones(10))
        counts[select(10, 5, "rm_margin", seed=Seed(i), signals=own).chosen] += 1
    assert np.all(np.abs(counts / 2000 - 0.5) < 0.06)


def test_elbow_is_where_the_curve_breaks():
    margins = np.concatenate([np.linspace(3.0, 2.0, 80), np.linspace(1.9, -4.0, 20)])
    assert elbow(margins) == 80
    assert elbow(Seed(0).numpy().permutation(margins)) == 80


def test_rlthf_serves_disagreement_and_elbow_in_turn():
    margins = np.concatenate([np.linspace(3.0, 2.0, 80), np.linspace(1.9, -4.0, 20)])
    order = rlthf_order(margins)
    assert order[:6].tolist() == [99, 80, 98, 79, 97, 81]
    assert sorted(order.tolist()) == list(range(100))


def test_rlthf_without_disagreement_grows_around_the_elbow():
    margins = np.concatenate([np.linspace(5.0, 4.0, 15), [2.0, 1.0, 0.5, 0.3, 0.1]])
    order = rlthf_order(margins)
    assert order[0] == elbow(margins) and sorted(order.tolist()) == list(range(20))


def test_horvitz_thompson_of_a_simple_random_sample_is_the_textbook():
    values, pool = np.array([2.0, 4.0, 9.0, 1.0]), 20
    found = horvitz_thompson(values, np.full(4, 4 / pool), pool)
    error = np.sqrt((1 - 4 / pool) * values.var(ddof=1) / 4)
    assert found.value == pytest.approx(4.0)
    assert found.high - found.value == pytest.approx(3.182 * error, rel=0.02)  # t with 3 degrees
    assert hajek(values, np.full(4, 0.2)).value == pytest.approx(4.0)


def test_certain_items_add_no_uncertainty():
    found = horvitz_thompson([1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], 4)
    assert (found.value, found.low, found.high) == (0.75, 0.75, 0.75)


def test_hajek_is_exact_for_a_constant():
    found = hajek([3.0, 3.0, 3.0], [0.2, 0.5, 1.0])
    assert (found.value, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))


def test_weights_undo_the_targeting():
    """The mean over what was targeted is far off; weighted by propensities it is not."""
    pool = 400
    rng = Seed(5).numpy()
    margins = rng.normal(1, 1, pool)
    wrong = (rng.random(pool) < np.where(margins < 0, 0.7, 0.1)).astype(float)
    truth, plain, weighted, covered = wrong.mean(), [], [], []
    for i in range(600):
        own = Signals(margins=margins)
        made = select(pool, 160, "rlthf", seed=Seed(i), signals=own, random_share=0.5)
        y, chance = wrong[made.chosen], made.propensity[made.chosen]
        found = horvitz_thompson(y, chance, pool)
        plain.append(y.mean())
        weighted.append(found.value)
        covered.append(found.low <= truth <= found.high)
    spread = np.std(weighted) / np.sqrt(600)
    assert abs(np.mean(weighted) - truth) < 4 * spread
    assert np.mean(plain) - truth > 0.1
    assert 0.9 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((10, 5, "best"), "no such strategy"),
        ((10, 0, "random"), "nothing to choose"),
        ((0, 5, "random"), "nothing to choose"),
        ((10, 5, "rm_margin"), "goes by margins"),
        ((10, 5, "judge_disagreement"), "goes by verdicts"),
    ],
)
def test_what_cannot_be_selected_is_refused(arguments, words):
    with pytest.raises((ConfigError, DataError), match=words):
        select(*arguments, seed=Seed(0))


def test_a_random_stratum_below_a_fifth_is_refused():
    with pytest.raises(ConfigError, match="random stratum is too small"):
        select(10, 5, "random", seed=Seed(0), random_share=0.1)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (Signals(margins=[1.0, 2.0]), "do not fit the pool"),
        (Signals(margins=[1.0, np.nan, 2.0]), "no finite numbers"),
    ],
)
def test_faulty_signals_are_refused(own, words):
    with pytest.raises(DataError, match=words):
        select(3, 2, "rlthf", seed=Seed(0), signals=own)


def test_one_judge_cannot_disagree():
    with pytest.raises(DataError, match="one judge cannot disagree"):
        select(3, 2, "judge_disagreement", seed=Seed(0), signals=Signals(verdicts=np.ones((3, 1))))


@pytest.mark.parametrize("chances", [[0.0, 0.5], [0.5, 1.5], [0.5]])
def test_propensities_must_be_probabilities(chances):
    with pytest.raises(DataError):
        horvitz_thompson([1.0, 2.0], chances, 10)
