"""Orders shown: balanced within items and within people."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.seeds import Seed
from fairlead.feedback.ordering import next_turn, shown_order


def test_an_item_alternates():
    turns = []
    for n in range(9):
        turns.append(next_turn(turns, 2, 0, 0, Seed(n)))
    assert all(abs(turns[:n].count(0) - turns[:n].count(1)) <= 1 for n in range(10))


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_a_person_sees_two_of_each_order_in_every_four(root, n):
    turns = []
    for i in range(n):
        turns.append(next_turn([], 2, i, turns.count(0), Seed(root).child(i)))
    for start in range(0, n - n % 4, 4):
        assert turns[start : start + 4].count(0) == 2


@given(st.integers(0, 10_000), st.lists(st.sampled_from([None, 0, 1]), max_size=80))
def test_what_items_force_is_made_up_for(root, forced):
    """Where an item leaves no choice, later free choices bring the person back to half."""
    turns = []
    for i, force in enumerate(forced):
        others = [] if force is None else [1 - force]
        turns.append(next_turn(others, 2, i, turns.count(0), Seed(root).child(i)))
        if force is not None:
            assert turns[-1] == force
    for i in range(len(forced), len(forced) + 4 * len(forced) + 4):
        turns.append(next_turn([], 2, i, turns.count(0), Seed(root).child(i)))
    assert abs(2 * turns.count(0) - len(turns)) <= 2


def test_rankings_show_each_reply_equally_often_in_each_place():
    turns, seed = [], Seed(3)
    for n in range(8):
        turns.append(next_turn(turns, 4, 0, 0, seed.child(n)))
    assert Counter(turns) == {0: 2, 1: 2, 2: 2, 3: 2}
    orders = [shown_order([11, 12, 13, 14], turn, seed) for turn in range(4)]
    for place in range(4):
        assert {order[place] for order in orders} == {11, 12, 13, 14}


def test_orders_of_one_none_and_two():
    assert shown_order([], 0, Seed(1)) == []
    assert shown_order([5], 0, Seed(1)) == [5]
    assert shown_order([5, 6], 0, Seed(1)) == [5, 6]
    assert shown_order([5, 6], 1, Seed(1)) == [6, 5]
    assert next_turn([], 1, 0, 0, Seed(1)) == 0
    assert next_turn([], 0, 0, 0, Seed(1)) == 0
