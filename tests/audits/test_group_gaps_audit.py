import numpy as np
import pytest

from fairlead.audits.group_gaps import GroupGaps
from fairlead.audits.planted import world
from fairlead.core.errors import DataError
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward


def _row(item: str, person: str, group: str | None, first: bool) -> dict:
    better, worse = ("one", "two") if first else ("two", "one")
    row = {"prompt": item, "chosen": better, "rejected": worse, "annotator": person}
    return row if group is None else {**row, "group": group}


def _run(rows: list[dict], reward: FunctionReward | None = None, **settings: object) -> Finding:
    with world.stored(data=rows) as places:
        rewards = {} if reward is None else {"proxy": reward}
        subject = world.subject(Seed(0), **rewards)
        return GroupGaps(data=places["data"], **settings).run(subject)


def _crowd() -> list[dict]:
    """Three of the large group and one of the small on each of 20 items; the small one differs on
    every second item."""
    return [
        _row(
            f"item {i}",
            f"{'s' if k == 3 else 'l'}{(i + k) % 4 if k < 3 else i // 2 % 4}",
            "small" if k == 3 else "large",
            k != 3 or i % 2 == 0,
        )
        for i in range(20)
        for k in range(4)
    ]


def test_agreement_leaves_out_a_person_s_own_choice() -> None:
    found = _run(_crowd(), fewest=10)
    table = {row[0]: row for row in found.tables[0].rows}
    # The others of the small group's person are three of the large one, who agree.
    assert table["small"][3] == pytest.approx(0.5)
    # A person of the large group has two of its own beside one of the small: always the majority.
    assert table["large"][3] == pytest.approx(1.0)
    gates = {gate.name: gate for gate in found.gates}
    assert gates["group_gaps/small: the choices of others"].change.value == pytest.approx(0.5)
    assert gates["group_gaps/small: the choices of others"].verdict == "fail"
    assert gates["group_gaps/large: the choices of others"].verdict == "pass"
    assert found.estimates[0].value == pytest.approx(0.5)
    assert found.passages[0].candidate == "small: two"


def test_the_reward_is_held_against_each_group() -> None:
    likes_one = FunctionReward(lambda prompt, text: float(text == "one"))
    found = _run(
        [row for row in _crowd() if row["annotator"][0] == "s"] + _crowd()[:3], likes_one, fewest=10
    )
    gate = next(g for g in found.gates if g.name == "group_gaps/small: the reward")
    assert gate.change.value == pytest.approx(0.5)


def test_what_the_reward_does_not_score_agrees_with_nobody() -> None:
    def score(prompt: Prompt, text: str) -> float:
        return float("nan") if prompt.first_user_turn == "item 0" else float(text == "one")

    gates = {g.name: g for g in _run(_crowd(), FunctionReward(score), fewest=10).gates}
    gate = gates["group_gaps/small: the reward"]
    # Nine of twenty agree, where ten did before; of the large group still all.
    assert gate.change.value == pytest.approx(1 - 9 / 20)
    assert gate.unscored["error"] > 0


def test_rows_without_a_group_are_counted() -> None:
    found = _run([*_crowd(), _row("item 3", "x", None, first=True)], fewest=10)
    assert "1 rows without a group left out." in found.notes


def test_groups_are_needed() -> None:
    with pytest.raises(DataError, match="no groups to compare"):
        _run([_row(f"i{i}", "p", "all", first=True) for i in range(60)])


def test_equal_groups_have_equal_agreement() -> None:
    random = Seed(3).numpy()
    rows = [
        _row(f"item {i}", f"p{k}", "even" if k % 2 == 0 else "odd", random.random() < 0.8)
        for i in range(300)
        for k in range(6)
    ]
    found = _run(rows)
    assert np.abs([gate.change.value for gate in found.gates]).max() < 0.04
    assert all(gate.verdict != "fail" for gate in found.gates)


def test_a_group_of_one_person_has_no_gate_and_is_named() -> None:
    rows = [
        _row(f"item {i}", person, "one" if person == "a" else "two", True)
        for i in range(12)
        for person in "abc"
    ]
    found = _run(rows, fewest=10)
    assert found.gates == ()
    assert "speaks for one, two: no interval" in found.notes[0]
