from collections import Counter
from itertools import product

import numpy as np
import pytest
from simulated_crowds import KNOWN, Crowd

from fairlead.core.seeds import Seed
from fairlead.feedback.quality import find_outliers, majority
from fairlead.feedback.quality.outliers import chernoff
from fairlead.feedback.tables import table_of

FIVE = ("random", "inverted", "position", "copying", "fast")
SEVEN = (*FIVE, "suggestion", "straight")
# Sparse: three answers per item, as a campaign with overlap 3 gives.
DESIGNS = {
    "dense": {},
    "sparse": {"items": 3000, "per_person": 300},
    "hard": {"skill": 1.0, "difficulty": 1.5},
    "small": {"honest": 8, "items": 200},
}


def alarmed(design: str, crowds: int) -> int:
    """How many all-honest crowds have a finding about anybody."""
    seeds = (Seed(i).child(design) for i in range(crowds))
    return sum(bool(find_outliers(Crowd(s, **DESIGNS[design]).table()).findings) for s in seeds)


@pytest.mark.parametrize("seed", range(3))
def test_each_planted_one_is_named_with_its_reason(seed):
    crowd = Crowd(Seed(seed), planted=SEVEN)
    found = find_outliers(crowd.table())
    assert found.first_reasons() == crowd.planted_names()


def test_reasons_are_for_people():
    crowd = Crowd(Seed(1), planted=SEVEN)
    found = find_outliers(crowd.table())
    told = {f.kind: f for f in reversed(found.findings)}
    copier = told["copying"]
    assert copier.other == crowd.names[0]
    assert f"copies {crowd.names[0]}" in copier.reason and "answered later in 100%" in copier.reason
    assert "0.3 s or less" in told["fast"].reason
    assert "chose the left reply in" in told["position"].reason
    assert (
        "random gives 4" in told["inverted"].reason or "random gives 5" in told["inverted"].reason
    )
    for finding in found.findings:
        assert finding.share.low <= finding.share.value <= finding.share.high
        assert "%" in finding.reason and "p = " in finding.reason
        assert 0 <= finding.weight < 0.6


def test_honest_crowds_are_left_in_peace():
    assert alarmed("dense", 15) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_at_most_one_honest_crowd_in_twenty_is_alarmed(design):
    assert alarmed(design, 200) <= 10


@pytest.mark.slow
def test_planted_ones_are_named_again_and_again():
    named, innocent = Counter(), 0
    for i in range(40):
        crowd = Crowd(Seed(i).child("planted"), planted=FIVE)
        found = find_outliers(crowd.table()).first_reasons()
        for name, kind in crowd.planted_names().items():
            named[kind] += found.pop(name, None) == kind
        innocent += bool(found)
    assert {kind: named[kind] >= 39 for kind in FIVE} == dict.fromkeys(FIVE, True)
    assert innocent <= 4


def test_weights_lower_and_never_delete():
    crowd = Crowd(Seed(2), planted=SEVEN, honest=12, items=200)
    table = crowd.table()
    found = find_outliers(table)
    weights = found.weights()
    assert set(weights) >= set(crowd.planted_names()) and max(weights.values()) < 1
    right = [
        np.mean(a.label == [crowd.truth[int(name[1:])] for name in a.items])
        for a in (majority(table), majority(table, weights))
    ]
    assert right[1] > right[0]
    assert majority(table, weights).votes.sum() == len(table)


def test_what_is_not_known_is_not_judged():
    table = Crowd(Seed(3)).table(known=())
    missing = find_outliers(table).not_measured
    assert set(missing) == {"suggestion", "fast", "position", "gold"}
    assert missing["fast"] == "times are unknown"
    few = find_outliers(table_of(item="ab", annotator="xy", label="pq"))
    assert not few.findings and "needs 5 people" in few.not_measured["random"]


def test_without_times_both_sides_of_a_copy_are_named():
    crowd = Crowd(Seed(4), planted=("copying",))
    found = find_outliers(crowd.table(known=tuple(k for k in KNOWN if k != "when")))
    pair = {crowd.names[0], crowd.names[-1]}
    assert set(found.first_reasons()) == pair
    assert all("cannot be told without times" in f.reason for f in found.findings)


def test_two_inverted_people_do_not_copy_each_other():
    crowd = Crowd(Seed(5), planted=("inverted", "inverted"))
    assert find_outliers(crowd.table()).first_reasons() == crowd.planted_names()


def test_failed_gold_is_a_reason():
    rng = np.random.default_rng(0)
    rows = [(i, p) for p in range(8) for i in range(60)]
    accuracy = [0.9] * 7 + [0.3]
    label = ["abc"[(i + (rng.random() > accuracy[p]) * rng.integers(1, 3)) % 3] for i, p in rows]
    table = table_of(
        item=[f"i{i}" for i, _ in rows],
        annotator=[f"p{p}" for _, p in rows],
        label=label,
        gold=["abc"[i % 3] for i, _ in rows],
    )
    gold = [f for f in find_outliers(table).findings if f.kind == "gold"]
    assert [f.person for f in gold] == ["p7"]
    assert "whose answer is known" in gold[0].reason and gold[0].share.high < gold[0].threshold


def test_names_and_order_of_rows_do_not_matter():
    crowd = Crowd(Seed(6), planted=FIVE)
    table = crowd.table()
    order = np.random.default_rng(0).permutation(len(table))
    names, items, labels = table.people.names, table.items.names, table.labels.names
    shuffled = table_of(
        item=[f"x{items[i]}" for i in table.items.codes[order]],
        annotator=[f"x{names[p]}" for p in table.people.codes[order]],
        label=[labels[k] for k in table.labels.codes[order]],
        left=[labels[k] for k in table.left[order]],
        seconds=table.seconds[order].tolist(),
        words=table.words[order].tolist(),
        when=table.when[order].tolist(),
    )
    before, after = find_outliers(table), find_outliers(shuffled)
    assert {f"x{k}": v for k, v in before.first_reasons().items()} == after.first_reasons()


def test_chernoff_is_never_below_the_truth():
    trials, chances = np.array([6, 4]), np.array([0.7, 0.2])
    worth = -np.log(chances)
    for hits in product(range(7), range(5)):
        seen = np.array(hits) @ worth
        exact = 0.0
        for other in product(range(7), range(5)):
            if np.array(other) @ worth >= seen - 1e-12:
                exact += np.prod(
                    [binomial(n, k, p) for n, k, p in zip(trials, other, chances, strict=True)]
                )
        assert chernoff(np.array(hits), trials, chances) >= exact - 1e-12
    # All hits: the bound is their exact probability, to the precision of its grid.
    assert chernoff(trials, trials, chances) == pytest.approx(0.7**6 * 0.2**4, rel=0.05)


def binomial(n: int, k: int, p: float) -> float:
    from math import comb

    return comb(n, k) * p**k * (1 - p) ** (n - k)
