from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.data.chat import Item
from fairlead.training.source import DatasetSource, Ranks


def items(n: int) -> list[Item]:
    """Item i has i as its one prompt token, which survives in the batch."""
    return [Item((i,), ((500, 501),), record=i) for i in range(n)]


def source(n: int, **changes: object) -> DatasetSource:
    settings = {"batch_size": 4, "epochs": 1, "microbatch_tokens": 7, "seed": Seed(3)} | changes
    return DatasetSource(items(n), sequence_batch, **settings)  # pyright: ignore


def seen(made: DatasetSource, index: int, ranks: Ranks | None = None) -> list[int]:
    """Records in a step."""
    batches = made.step(index, ranks or Ranks()).microbatches
    return [int(i) for b in batches for i in b.packed.input_ids if i < 500]


def everything(made: DatasetSource) -> list[list[int]]:
    return [seen(made, index) for index in range(made.steps)]


@given(n=st.integers(1, 40), batch=st.integers(1, 9), epochs=st.integers(1, 3))
def test_every_example_once_per_epoch(n: int, batch: int, epochs: int) -> None:
    made = source(n, batch_size=batch, epochs=epochs)
    steps = everything(made)
    per_epoch = len(steps) // epochs
    assert len(steps) == epochs * -(-n // batch)
    for epoch in range(epochs):
        of_epoch = steps[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(i for step in of_epoch for i in step) == list(range(n))
        assert [len(step) for step in of_epoch[:-1]] == [batch] * (per_epoch - 1)


def test_order_follows_from_the_seed_alone() -> None:
    one = everything(source(20, epochs=2))
    finer = everything(source(20, epochs=2, microbatch_tokens=1))
    assert [sorted(step) for step in one] == [sorted(step) for step in finer]
    assert everything(source(20, epochs=2)) == one
    assert everything(source(20, epochs=2, seed=Seed(4))) != one


def test_epochs_have_different_orders() -> None:
    steps = everything(source(20, epochs=2))
    assert steps[:5] != steps[5:]


def test_any_step_can_be_asked_for_first() -> None:
    assert seen(source(20), 3) == everything(source(20))[3]


@given(n=st.integers(6, 40), batch=st.integers(3, 9), count=st.integers(1, 3))
def test_shares_of_the_processes_partition_a_batch(n: int, batch: int, count: int) -> None:
    left_over = n % batch
    made = source(n, batch_size=batch, max_steps=n // batch if 0 < left_over < count else None)
    for index in range(made.steps):
        shares = [seen(made, index, Ranks(rank, count)) for rank in range(count)]
        assert Counter(i for share in shares for i in share) == Counter(seen(made, index))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_totals_of_the_processes_add_up() -> None:
    made = source(11)
    parts = [made.step(2, Ranks(rank, 2)).totals() for rank in range(2)]
    assert parts[0] + parts[1] == made.step(2, Ranks()).totals()
    assert (parts[0].sequences, parts[1].sequences) == (2, 1)
    assert made.step(2, Ranks()).totals().rows == 6


def test_microbatches_keep_to_their_tokens() -> None:
    step = source(12, batch_size=12, microbatch_tokens=9).step(0, Ranks())
    assert [len(b.packed.input_ids) for b in step.microbatches] == [9, 9, 9, 9]


def test_max_steps() -> None:
    assert source(20, epochs=3, max_steps=7).steps == 7
    assert source(20, epochs=1, max_steps=7).steps == 5


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_last_batch_too_small_is_refused_at_the_first_step_by_all(rank: int) -> None:
    with pytest.raises(ConfigError, match="no example in a step") as caught:
        source(10).step(0, Ranks(rank, 3))
    assert caught.value.where == "the last batch of an epoch"
    assert caught.value.got == "2 (10 examples in batches of 4)"
    assert "batch_size" in caught.value.remedy


def test_a_last_batch_that_is_never_reached_is_no_fault() -> None:
    assert len(seen(source(10, max_steps=2), 0, Ranks(0, 3))) == 2


def test_more_processes_than_examples_in_every_batch() -> None:
    with pytest.raises(ConfigError) as caught:
        source(12).step(0, Ranks(0, 5))
    assert caught.value.where == "every batch" and "got: 4" in str(caught.value)


def test_has_no_state() -> None:
    made = source(8)
    assert made.state() == {} and all(made.between(i) for i in range(made.steps))
