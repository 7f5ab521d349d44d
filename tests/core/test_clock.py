import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.clock import Clock, Part, section, timed


class Hands:
    """A clock's hands that move only when told to."""

    def __init__(self) -> None:
        self.at = 1000

    def __call__(self) -> int:
        return self.at


def test_an_inner_section_is_taken_from_the_outer_one():
    hands = Hands()
    clock = Clock(now=hands)
    with timed(clock):
        hands.at += 1  # other
        with section(Part.DATA):
            hands.at += 10
            with section(Part.GENERATE):
                hands.at += 100
            hands.at += 20
        with section(Part.GENERATE):
            hands.at += 1000
        hands.at += 2
    assert clock.spent() == {Part.DATA: 30, Part.GENERATE: 1100, Part.OTHER: 3}
    assert clock.total() == 1133


def test_a_section_within_itself_counts_once():
    hands = Hands()
    clock = Clock(now=hands)
    with clock.section(Part.FORWARD):
        hands.at += 5
        with clock.section(Part.FORWARD):
            hands.at += 7
    assert clock.spent() == {Part.FORWARD: 12, Part.OTHER: 0}


def test_a_section_that_fails_ends_all_the_same():
    hands = Hands()
    clock = Clock(now=hands)

    def fail() -> None:
        with clock.section(Part.BACKWARD):
            hands.at += 4
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    hands.at += 3
    assert clock.spent() == {Part.BACKWARD: 4, Part.OTHER: 3}


@given(
    st.recursive(
        st.integers(0, 10**6),
        lambda inner: st.lists(st.tuples(st.sampled_from(Part), inner), max_size=4),
        max_leaves=20,
    )
)
def test_parts_add_up_to_the_whole_exactly(tree: object):
    hands = Hands()
    clock = Clock(now=hands)

    def walk(node: object) -> None:
        if isinstance(node, int):
            hands.at += node
            return
        assert isinstance(node, list)
        for part, inner in node:
            hands.at += 1
            with clock.section(part):
                walk(inner)

    walk(tree)
    assert sum(clock.spent().values()) == clock.total() == hands.at - 1000


def test_real_time_adds_up_exactly():
    clock = Clock()
    with timed(clock), section(Part.FORWARD):
        time.sleep(0.01)
    spent = clock.spent()
    assert sum(spent.values()) == clock.total()
    assert spent[Part.FORWARD] >= 10_000_000


def test_borders_wait_and_spans_mark():
    seen: list[str] = []

    class Mark:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            seen.append(f"begin {self.name}")

        def __exit__(self, *_: object) -> None:
            seen.append(f"end {self.name}")

    clock = Clock(border=lambda: seen.append("wait"), span=Mark)
    with clock.section(Part.FORWARD):
        seen.append("work")
    assert seen == ["wait", "begin forward", "work", "end forward", "wait"]


def test_without_a_clock_every_section_is_one_and_the_same_nothing():
    assert section(Part.FORWARD) is section(Part.BACKWARD)
    with timed(Clock()):
        assert section(Part.FORWARD) is not section(Part.FORWARD)
    assert section(Part.FORWARD) is section(Part.BACKWARD)
