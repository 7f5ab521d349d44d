import numpy as np
import pytest
from simulated_crowds import Crowd

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.feedback.quality import (
    by_group,
    dawid_skene,
    group_differences,
    mace,
    majority,
    pair_margins,
)
from fairlead.feedback.tables import table_of

VOTES = {"i1": "aab", "i2": "bbb", "i3": "ab"}


def voted(votes=VOTES, **more):
    rows = [(item, f"p{k}", v) for item, text in votes.items() for k, v in enumerate(text)]
    item, annotator, label = zip(*rows, strict=True)
    return table_of(item=item, annotator=annotator, label=label, **more)


def test_majority_keeps_doubt_and_votes():
    found = majority(voted())
    assert found.label.tolist() == [0, 1, -1]
    assert found.soft.tolist() == [[pytest.approx(2 / 3), pytest.approx(1 / 3)], [0, 1], [0.5, 0.5]]
    assert found.margin == pytest.approx([1 / 3, 1, 0])
    assert found.votes.tolist() == [[2, 1], [0, 3], [1, 1]]
    assert found.disagreement == pytest.approx(
        [-(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)), 0, np.log(2)]
    )
    assert found.rows()[2] == {
        "item": "i3",
        "label": None,
        "soft": {"a": 0.5, "b": 0.5},
        "margin": 0.0,
        "votes": {"a": 1, "b": 1},
        "disagreement": pytest.approx(np.log(2)),
        "method": "majority",
    }


def test_weights_count_but_raw_votes_stay():
    found = majority(voted(), weights={"p0": 0.0, "p1": 0.0})
    assert found.label.tolist() == [1, 1, -1]
    assert found.votes.tolist() == [[2, 1], [0, 3], [1, 1]]
    with pytest.raises(DataError, match="not in the table"):
        majority(voted(), weights={"nobody": 1.0})
    with pytest.raises(DataError, match="from 0 on"):
        majority(voted(), weights={"p0": -1.0})


def test_an_item_without_votes_is_unknown():
    table = voted()
    part = table.rows(table.items.codes != 1)
    found = majority(part)
    assert found.label.tolist() == [0, -1, -1]
    assert np.isnan(found.soft[1]).all() and len(found.rows()) == 2


def test_models_of_people_beat_the_majority_where_people_differ():
    crowd = Crowd(
        Seed(4), honest=8, items=400, per_person=400, planted=("random",) * 6, difficulty=0.3
    )
    table = crowd.table()
    truth_rng = Seed(4).numpy()
    truth = truth_rng.integers(2, size=400)
    right = {
        method.name: np.mean(
            [table.labels.names[x] == "ab"[truth[int(n[1:])]]
             for x, n in zip(method(table).label, table.items.names, strict=True)]
        )
        for method in (majority, dawid_skene, mace)
    }  # fmt: skip
    assert right["dawid_skene"] > right["majority"] + 0.01
    assert right["mace"] > right["majority"] + 0.01
    trusted = dawid_skene(table).accuracy
    random = [trusted[name].value for name in crowd.planted_names()]
    assert max(random) < min(v.value for n, v in trusted.items() if n not in crowd.planted_names())


def test_pair_margins_take_out_the_left():
    # Shown first on the left everywhere: the campaign cannot tell; balanced: it can.
    rng = np.random.default_rng(0)
    n = 300
    better, left = rng.integers(2, size=(2, 3 * n))
    better = np.repeat(better[:n], 3)
    lean = 1.0
    d = np.where(better == 0, 1.0, -1.0) * np.where(left == 0, 1, -1) + lean
    won_left = rng.random(3 * n) < 1 / (1 + np.exp(-d))
    label = np.where(won_left, left, 1 - left)
    table = table_of(
        item=[f"i{i // 3}" for i in range(3 * n)],
        annotator=[f"p{i % 3}" for i in range(3 * n)],
        label=["xy"[x] for x in label],
        left=["xy"[x] for x in left],
        tie=None,
    )
    found = pair_margins(table, "x", "y")
    assert found.converged and found.ties is None
    assert found.left.low > 0.5  # the prior of strengths pulls it below the true 1.0
    assert np.mean((found.margin > 0) == (better[::3] == 0)) > 0.7
    assert found.aggregated.soft.sum(axis=1) == pytest.approx(np.ones(n))
    assert found.aggregated.soft[:, 0] == pytest.approx(1 / (1 + np.exp(-found.margin)))


def test_pair_margins_with_ties_and_unknown_order():
    table = voted({"i1": ["x", "x", "y"], "i2": ["tie", "tie", "tie"], "i3": ["y", "y", "y"]})
    found = pair_margins(table, "x", "y")
    names = found.aggregated.labels
    assert found.margin[0] > 0 > found.margin[2] and found.margin[1] == pytest.approx(0, abs=1e-3)
    assert abs(found.left.value) < 1e-3
    tie = found.aggregated.soft[:, names.index("tie")]
    assert tie[1] > tie[2]
    with pytest.raises(DataError, match="neither of the two"):
        pair_margins(voted({"i1": ["x", "y", "z"]}), "x", "y")


def groups_table(flip: bool, seed: int = 0, items: int = 120):
    """Two groups of six; with `flip` the second prefers b on the first third of the items."""
    rng = np.random.default_rng(seed)
    rows = [(i, p) for i in range(items) for p in range(12)]
    wants_b = [flip and p >= 6 and i < items // 3 for i, p in rows]
    label = ["b" if w != (rng.random() < 0.1) else "a" for w in wants_b]
    return table_of(
        item=[f"i{i}" for i, _ in rows],
        annotator=[f"p{p}" for _, p in rows],
        label=label,
        group=["north" if p < 6 else "south" for _, p in rows],
    )


def test_groups_that_differ_are_told_where():
    found = group_differences(groups_table(True), seed=Seed(0))
    assert found.p <= 0.005 and found.distance > 2 * found.by_chance
    divided = {d.item for d in found.divided}
    assert len(divided) >= 10 and divided <= {f"i{i}" for i in range(40)}
    first = found.divided[0]
    assert first.difference.low > 0 and (first.first, first.second) == ("north", "south")
    shift = next(s for s in found.shifts if s.label == "a")
    assert shift.difference.low < 0.8 / 3 < shift.difference.high
    assert [(g.name, g.people, g.answers) for g in found.groups] == [
        ("north", 6, 720), ("south", 6, 720),
    ]  # fmt: skip
    each = by_group(groups_table(True))
    assert (
        (each["north"].label[:40] == 0).mean()
        > 0.95
        > 0.05
        > (each["south"].label[:40] == 0).mean()
    )


def test_groups_that_do_not_differ_are_left_in_peace():
    small = [group_differences(groups_table(False, s, 40), seed=Seed(s)) for s in range(20)]
    assert sum(f.p <= 0.05 for f in small) <= 4
    assert sum(bool(f.divided) for f in small) <= 3


def test_groups_need_to_be_known():
    with pytest.raises(DataError, match="no groups"):
        group_differences(voted(), seed=Seed(0))
    with pytest.raises(DataError, match="differ from itself"):
        group_differences(voted(group=["one"] * 8), seed=Seed(0))
