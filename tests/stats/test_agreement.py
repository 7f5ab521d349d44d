import numpy as np
import pytest
from evalica import alpha as evalica_alpha
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from fairlead.core.seeds import Seed
from fairlead.stats.agreement import (
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    mean_pairwise_kappa,
    pairwise_kappas,
    percent_agreement,
    rank_agreement,
)

SEED = Seed(0)
NONE = -1

# Krippendorff 2011, "Computing Krippendorff's alpha-reliability", example C: four observers.
FOUR = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
        [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
    ]
)
# The three observers of the article's table of reliability data with missing values.
THREE = np.array(
    [
        [NONE, NONE, NONE, NONE, NONE, 3, 4, 1, 2, 1, 1, 3, 3, NONE, 3],
        [1, NONE, 2, 1, 3, 3, 4, 3, NONE, NONE, NONE, NONE, NONE, NONE, NONE],
        [NONE, NONE, 2, 1, 3, 4, 4, NONE, 2, 1, 1, 3, 3, NONE, 4],
    ]
)
# Fleiss 1971 as tabulated since: 10 items, 14 raters, 5 categories.
FLEISS = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)


def counted(matrix: np.ndarray, labels: int) -> np.ndarray:
    """[item, label] from [person, item] with labels from 1."""
    return np.array([[(row == k).sum() for k in range(1, labels + 1)] for row in matrix.T])


def long(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items, people and labels from 0, of [person, item] with labels from 1."""
    people, items = np.nonzero(matrix != NONE)
    return items, people, matrix[people, items] - 1


def alpha(matrix, level, labels=5):
    values = np.arange(1, labels + 1)
    return krippendorff_alpha(counted(matrix, labels), level, values=values, seed=SEED)


@pytest.mark.parametrize(
    ("level", "four", "three"),
    [("nominal", 0.743, 0.691), ("ordinal", 0.815, 0.807), ("interval", 0.849, 0.811)],
)
def test_alpha_equals_the_published_values(level, four, three):
    assert alpha(FOUR, level).value == pytest.approx(four, abs=5e-4)
    assert alpha(THREE, level, 4).value == pytest.approx(three, abs=5e-4)


def test_fleiss_equals_the_published_value():
    found = fleiss_kappa(FLEISS, seed=SEED)
    assert found.value == pytest.approx(0.210, abs=5e-4)
    assert found.low is not None and found.high is not None and found.low < 0.21 < found.high


def test_cohen_by_hand():
    # 50 proposals, two readers: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no; po 0.7, pe 0.5.
    first = [1] * 25 + [0] * 25
    second = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    found = cohen_kappa(first, second, 2, seed=SEED)
    assert found.value == pytest.approx(0.4)
    assert found.n == 50


tables = st.integers(2, 4).flatmap(
    lambda k: st.lists(
        st.lists(st.integers(NONE, k).filter(lambda x: x), min_size=3, max_size=3),
        min_size=2,
        max_size=12,
    )
)


@given(tables)
@settings(max_examples=60, deadline=None)
def test_alpha_equals_evalica(rows):
    matrix = np.array(rows).T
    counts = counted(matrix, 4)
    ours = krippendorff_alpha(counts, "nominal", seed=SEED)
    used = counts[counts.sum(axis=1) >= 2].sum(axis=0)
    if np.count_nonzero(used) < 2:
        assert ours.value is None and ours.why
        return
    import pandas as pd

    paired = np.where(matrix == NONE, np.nan, matrix.astype(float))[:, counts.sum(axis=1) >= 2]
    for level in ("nominal", "ordinal", "interval"):
        found = krippendorff_alpha(counts, level, values=[1, 2, 3, 4], seed=SEED)
        theirs = evalica_alpha(pd.DataFrame(paired), distance=level).alpha
        assert found.value == pytest.approx(theirs, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_cohen_equals_scikit_learn(pairs):
    a, b = (list(x) for x in zip(*pairs, strict=True))
    for weights, theirs in (("none", None), ("linear", "linear"), ("quadratic", "quadratic")):
        ours = cohen_kappa(a, b, 4, weights=weights, seed=SEED)
        if len({*a, *b}) == 1:
            assert ours.value is None and "same" in ours.why
        else:
            expected = cohen_kappa_score(a, b, labels=[0, 1, 2, 3], weights=theirs)
            assert ours.value == pytest.approx(expected, abs=1e-9)


@given(st.permutations(range(10)), st.permutations(range(5)))
@settings(max_examples=20, deadline=None)
def test_order_of_items_and_names_of_labels_do_not_matter(items, labels):
    shuffled = FLEISS[items][:, labels]
    for statistic in (percent_agreement, fleiss_kappa, krippendorff_alpha):
        before, after = statistic(FLEISS, seed=SEED), statistic(shuffled, seed=SEED)
        assert after.value == pytest.approx(before.value, abs=1e-12)


def test_ordinal_labels_may_be_turned_round_but_not_mixed():
    counts = counted(FOUR, 5)
    forward = krippendorff_alpha(counts, "ordinal", seed=SEED).value
    assert krippendorff_alpha(counts[:, ::-1], "ordinal", seed=SEED).value == pytest.approx(forward)
    mixed = krippendorff_alpha(counts[:, [2, 0, 4, 1, 3]], "ordinal", seed=SEED).value
    assert mixed != pytest.approx(forward, abs=0.01)


def test_a_unanimous_corpus_has_no_coefficient_but_a_reason():
    counts = np.array([[3, 0]] * 8)
    assert percent_agreement(counts, seed=SEED).value == 1.0
    for found in (
        fleiss_kappa(counts, seed=SEED),
        krippendorff_alpha(counts, seed=SEED),
        cohen_kappa([1, 1, 1], [1, 1, 1], 2, seed=SEED),
    ):
        assert found.value is None and found.low is None
        assert "labels are the same" in found.why and str(found).startswith("undefined")


def test_single_labels_agree_with_nobody():
    counts = np.array([[1, 0], [0, 1], [1, 0]])
    for statistic in (percent_agreement, fleiss_kappa, krippendorff_alpha):
        found = statistic(counts, seed=SEED)
        assert found.value is None and found.why == "no item has labels by two people"


def test_a_value_without_interval_says_why():
    # With one disagreement in eight items a third of the resamples has a single label.
    found = fleiss_kappa([[3, 0]] * 7 + [[2, 1]], seed=SEED)
    assert found.value == pytest.approx(-1 / 23)
    assert found.low is None and "undefined on some resamples" in found.why
    alone = percent_agreement([[2, 1]], seed=SEED)
    assert alone.value == pytest.approx(1 / 3) and "one unit" in alone.why


def test_pairs_and_their_mean():
    items, people, given = long(FOUR)
    pairs = pairwise_kappas(items, people, given, 5, seed=SEED)
    assert [(p.first, p.second, p.shared) for p in pairs] == [
        (0, 1, 9), (0, 2, 8), (0, 3, 9), (1, 2, 9), (1, 3, 10), (2, 3, 10),
    ]  # fmt: skip
    mean = mean_pairwise_kappa(items, people, given, 5, seed=SEED)
    shared = [p.shared for p in pairs]
    assert mean.value == pytest.approx(np.average([p.kappa.value for p in pairs], weights=shared))


def test_mean_kappa_counts_pairs_it_leaves_out():
    # Persons 0 and 1 both say 0 to everything; person 2 varies.
    matrix = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 2, 1, 2]])
    found = mean_pairwise_kappa(*long(matrix), 2, seed=SEED)
    assert found.value == 0.0
    assert "2 pairs of people, 1 more with one label only left out" in found.method


def test_steps_of_one_solution_are_drawn_together():
    rng = np.random.default_rng(0)
    good = np.repeat(rng.random(40) < 0.5, 6)
    counts = np.stack([np.where(good, 3, 1), np.where(good, 0, 2)], 1)
    alone = krippendorff_alpha(counts, seed=SEED)
    grouped = krippendorff_alpha(counts, seed=SEED, clusters=np.repeat(np.arange(40), 6))
    assert grouped.value == pytest.approx(alone.value)
    assert (alone.n, grouped.n) == (240, 40)
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_intervals_cover():
    # Two people agree on a binary label with probability 0.8; alpha's limit is 0.6.
    rng = np.random.default_rng(3)
    covered = 0
    for i in range(120):
        truth = rng.integers(2, size=80)
        agree = rng.random(80) < 0.8
        counts = np.eye(2)[truth] + np.eye(2)[np.where(agree, truth, 1 - truth)]
        found = krippendorff_alpha(counts, seed=Seed(i))
        covered += found.low <= 0.6 <= found.high
    assert 0.88 <= covered / 120 <= 0.99


def test_tau_by_hand():
    # Item 0: (1,2,3) and (1,3,2): two of three pairs agree, tau 1/3. Item 1: equal rankings, tau 1.
    items = np.array([0] * 6 + [1] * 6)
    people = np.array([0, 0, 0, 1, 1, 1] * 2)
    candidates = np.array([0, 1, 2] * 4)
    ranks = np.array([1, 2, 3, 1, 3, 2, 3, 2, 1, 3, 2, 1])
    found = rank_agreement(items, people, candidates, ranks, seed=SEED)
    assert found.value == pytest.approx((1 / 3 + 1) / 2)


@given(st.lists(st.integers(1, 4), min_size=5, max_size=5), st.permutations(range(1, 6)))
@settings(max_examples=40, deadline=None)
def test_tau_equals_scipy(first, second):
    from scipy.stats import kendalltau

    items = np.zeros(10, dtype=int)
    people, candidates = np.repeat([0, 1], 5), np.tile(np.arange(5), 2)
    found = rank_agreement(items, people, candidates, np.array([*first, *second]), seed=SEED)
    if len(set(first)) == 1:
        assert found.value is None
    else:
        assert found.value == pytest.approx(kendalltau(first, second).statistic)
