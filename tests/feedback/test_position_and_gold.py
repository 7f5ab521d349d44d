import pytest

from fairlead.core.errors import DataError
from fairlead.feedback.quality import (
    gold_report,
    length_bias,
    order_flips,
    own_consistency,
    position_bias,
    tie_rate,
)
from fairlead.feedback.tables import table_of


def choices(sides: dict[str, str], **more):
    """A table from each person's choices, as L(eft), R(ight), T(ie); a is always on the left."""
    rows = [(who, i, side) for who, text in sides.items() for i, side in enumerate(text)]
    return table_of(
        item=[f"i{i}" for _, i, _ in rows],
        annotator=[who for who, _, _ in rows],
        label=[{"L": "a", "R": "b", "T": "tie"}[side] for _, _, side in rows],
        left=["a"] * len(rows),
        **more,
    )


def test_position_bias_by_hand():
    table = choices({"ann": "L" * 9 + "R", "bob": "LRLRTT", "eve": "R" * 8})
    found = position_bias(table)
    # Ties aside: 9 + 2 of 22 on the left.
    assert (found.share.value, found.share.n) == (0.5, 22)
    assert found.p == 1.0
    by_name = {p.person: p for p in found.people}
    assert by_name["ann"].p == pytest.approx(22 / 1024)
    assert by_name["eve"].p == pytest.approx(2 / 256)
    assert by_name["bob"].p == 1.0
    # Benjamini-Hochberg over three people: 3 * 2/256, 3/2 * 22/1024, 1.
    assert by_name["eve"].adjusted == pytest.approx(6 / 256)
    assert by_name["ann"].adjusted == pytest.approx(33 / 1024)
    assert found.needed == 783 and "takes 783 choices; these 22" in found.power
    assert tie_rate(table).value == pytest.approx(2 / 24)


def test_where_nothing_is_known_nothing_is_said():
    table = table_of(item="ab", annotator="xy", label="pq")
    assert position_bias(table) is None and length_bias(table) is None
    assert tie_rate(table) is None and gold_report(table) is None
    assert own_consistency(table) is None


def test_length_bias_counts_choices_between_lengths():
    table = table_of(
        item="abcd",
        annotator="xxyy",
        label=["a", "b", "a", "tie"],
        longer=["a", "a", None, "b"],
    )
    found = length_bias(table)
    assert (found.share.value, found.share.n) == (0.5, 2)
    assert [p.person for p in found.people] == ["x"]


def test_flips():
    found = order_flips(["1", "2", "1", None], ["1", "1", "1", "2"])
    assert (found.value, found.n) == (pytest.approx(1 / 3), 3)
    with pytest.raises(DataError, match="pair up"):
        order_flips(["1"], [])


def test_gold_as_a_posterior():
    table = table_of(
        item=["g1", "g2", "g3", "x", "g1"],
        annotator=["ann", "ann", "ann", "ann", "bob"],
        label=["a", "b", "a", "a", "b"],
        gold=["a", ["a", "b"], "b", None, "a"],
    )
    found = gold_report(table)
    assert found.items == 3 and found.accuracy.value == 0.5
    # ann: 2 of 3, Beta(3, 2); bob: 0 of 1, Beta(1, 2).
    assert found.people["ann"].value == pytest.approx(3 / 5)
    assert found.people["bob"].value == pytest.approx(1 / 3)
    assert found.people["bob"].high == pytest.approx(1 - 0.025**0.5)


def test_own_consistency():
    table = table_of(item="ababc", annotator="xxxxy", label="pqpppp"[:5])
    # x said p, q, then p again (same) and p instead of q.
    assert own_consistency(table).value == 0.5
    assert own_consistency(table, "x").n == 2
    assert own_consistency(table, "y") is None
