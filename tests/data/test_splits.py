import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.data.checks import shared_prompts
from fairlead.data.splits import first_user_turn, split
from fairlead.records import Demonstration, Prompt

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}
RECORDS = [
    Demonstration(prompt=Prompt.of(f"prompt {i // 3}"), response=str(i)) for i in range(3000)
]


def test_groups_stay_together_and_sizes_are_near_the_fractions():
    parts = split(RECORDS, FRACTIONS, Seed(1))
    assert list(parts) == ["train", "validation", "test"]
    assert sum(len(p) for p in parts.values()) == 3000
    assert shared_prompts(parts).count == 0
    # 1000 groups: four standard deviations of a binomial share are 0.05 and 0.04.
    assert len(parts["train"]) / 3000 == pytest.approx(0.8, abs=0.05)
    assert len(parts["test"]) / 3000 == pytest.approx(0.1, abs=0.04)


@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_a_part_depends_on_the_group_and_seed_alone(seed, order):
    some = RECORDS[:300]
    parts = split(some, {"a": 0.5, "b": 0.5}, Seed(seed))
    shuffled = random.Random(order).sample(some, 200)
    again = split(shuffled, {"a": 0.5, "b": 0.5}, Seed(seed))
    assert all(set(again[name]) <= set(parts[name]) for name in parts)


def test_another_seed_gives_another_division():
    halves = {"a": 0.5, "b": 0.5}
    first, second = (set(split(RECORDS, halves, Seed(s))["a"]) for s in (1, 2))
    assert 0.2 < len(first & second) / 3000 < 0.3


def test_grouping_by_something_else():
    parts = split(RECORDS, {"a": 0.5, "b": 0.5}, Seed(1), group=lambda r: r.response[-1])
    assert not {r.response[-1] for r in parts["a"]} & {r.response[-1] for r in parts["b"]}
    assert first_user_turn(RECORDS[4]) == "prompt 1"


def test_an_empty_part_is_refused():
    with pytest.raises(DataError, match="part of the split is empty") as caught:
        split(RECORDS[:3], FRACTIONS, Seed(1))
    assert caught.value.got == "no record of 3"


@pytest.mark.parametrize("fractions", [{}, {"a": 0.5}, {"a": 1.2, "b": -0.2}, {"a": 1.0, "b": 0.0}])
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(ConfigError, match="shares of a whole"):
        split(RECORDS, fractions, Seed(1))
