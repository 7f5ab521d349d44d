import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.data.batches import (
    microbatches,
    mismatches,
    pack,
    preference_batch,
    sequence_batch,
    unpaired_batch,
)
from fairlead.data.chat import Item
from fairlead.objectives import Totals, Tree

PAIR = Item((10, 11, 12), ((20, 21), (30,)), (0, 1))
SINGLE = Item((13,), ((40, 41, 42),))

tokens = st.lists(st.integers(0, 9), min_size=1, max_size=6).map(tuple)


@st.composite
def drawn_items(draw: st.DrawFn) -> list[Item]:
    count = draw(st.integers(1, 8))
    made: list[Item] = []
    for record in range(count):
        responses = tuple(draw(st.lists(tokens, min_size=2, max_size=4)))
        ranks = draw(st.lists(st.integers(0, 2), min_size=len(responses), max_size=len(responses)))
        ranks[:2] = [0, 1]
        made.append(Item(draw(tokens), responses, tuple(ranks), record))
    return made


def test_shared_pack_worked_by_hand() -> None:
    packed = pack([PAIR, SINGLE])
    assert packed.input_ids.tolist() == [10, 11, 12, 20, 21, 30, 13, 40, 41, 42]
    assert packed.position_ids.tolist() == [0, 1, 2, 3, 4, 3, 0, 1, 2, 3]
    assert packed.trees == (Tree(0, 3, (2, 1)), Tree(6, 1, (3,)))
    # Token 12 at place 2 predicts the first token of both replies.
    assert packed.rows.tolist() == [2, 3, 2, 6, 7, 8]
    assert packed.targets.tolist() == [20, 21, 30, 40, 41, 42]
    assert packed.row_sequence.tolist() == [0, 0, 1, 2, 2, 2]
    assert packed.ends.tolist() == [4, 5, 9]
    assert packed.sequences == 3 and packed.temperature == 1.0


def test_unshared_pack_worked_by_hand() -> None:
    packed = pack([PAIR], share_prompts=False, temperature=0.7)
    assert packed.input_ids.tolist() == [10, 11, 12, 20, 21, 10, 11, 12, 30]
    assert packed.position_ids.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert packed.trees == (Tree(0, 0, (5,)), Tree(5, 0, (4,)))
    assert packed.rows.tolist() == [2, 3, 7]
    assert packed.targets.tolist() == [20, 21, 30]
    assert packed.row_sequence.tolist() == [0, 0, 1]
    assert packed.ends.tolist() == [4, 8] and packed.temperature == 0.7


@given(items=drawn_items())
def test_nothing_is_padded_and_nothing_is_lost(items: list[Item]) -> None:
    shared, whole = pack(items), pack(items, share_prompts=False)
    assert shared.input_ids.shape[0] == sum(item.tokens for item in items)
    assert whole.input_ids.shape[0] == sum(
        len(item.prompt) + len(response) for item in items for response in item.responses
    )
    replies = [response for item in items for response in item.responses]
    for packed in (shared, whole):
        assert packed.targets.tolist() == [token for reply in replies for token in reply]
        assert [int(packed.input_ids[end]) for end in packed.ends] == [r[-1] for r in replies]
        assert sum(tree.length for tree in packed.trees) == packed.input_ids.shape[0]
        # A row's own position is one before that of the token it predicts.
        firsts = [len(item.prompt) - 1 for item in items for _ in item.responses]
        expected = [
            f + i for f, reply in zip(firsts, replies, strict=True) for i in range(len(reply))
        ]
        assert packed.position_ids[packed.rows].tolist() == expected


@given(items=drawn_items(), budget=st.integers(1, 60))
def test_microbatches_hold_everything_once_within_the_budget(
    items: list[Item], budget: int
) -> None:
    packs = microbatches(items, budget)
    assert sorted(i.record for p in packs for i in p) == list(range(len(items)))
    for packed in packs:
        assert sum(item.tokens for item in packed) <= budget or len(packed) == 1


def test_microbatches_fill_the_first_that_has_room() -> None:
    sizes = [Item((1,) * n, ((1,),), record=n) for n in (2, 6, 3, 5, 1)]  # 3, 7, 4, 6, 2 tokens
    packs = microbatches(sizes, 10)
    # 7, 6, 4, 3, 2 in turn: 7 + 3, 6 + 4, 2.
    assert [[item.record for item in packed] for packed in packs] == [[6, 2], [5, 3], [1]]


@given(items=drawn_items())
def test_pairs_of_a_ranking_weigh_one_together(items: list[Item]) -> None:
    batch = preference_batch(items)
    owner = torch.tensor([n for n, item in enumerate(items) for _ in item.responses])
    assert torch.equal(owner[batch.better], owner[batch.worse])
    ranks = torch.tensor([rank for item in items for rank in item.ranks])
    assert (ranks[batch.better] < ranks[batch.worse]).all()
    sums = torch.zeros(len(items)).index_add(0, owner[batch.better], batch.weight)
    assert sums.tolist() == pytest.approx([1.0] * len(items), rel=1e-6)
    assert batch.totals().groups == pytest.approx(len(items), rel=1e-6)


def test_pairs_of_a_ranking_with_a_tie() -> None:
    ranking = Item((1,), ((2,), (3,), (4,)), (1, 0, 1))
    batch = preference_batch([PAIR, ranking], reference=lambda item: [-1.0] * len(item.responses))
    # Sequences 0 and 1 are the pair's; of 2, 3, 4 the middle one beats both others.
    assert batch.better.tolist() == [0, 3, 3]
    assert batch.worse.tolist() == [1, 2, 4]
    assert batch.weight.tolist() == [1.0, 0.5, 0.5]
    assert batch.reference is not None and batch.reference.tolist() == [-1.0] * 5


def test_totals_count_sequences_rows_groups_and_tokens() -> None:
    assert sequence_batch([SINGLE, SINGLE]).totals() == Totals(sequences=2, rows=6, tokens=8)
    assert preference_batch([PAIR]).totals() == Totals(sequences=2, rows=3, groups=1, tokens=6)


def test_batches_move_as_one() -> None:
    batch = preference_batch([PAIR], reference=lambda _: (-1.0, -2.0)).to(torch.device("meta"))
    assert {batch.packed.input_ids.device.type, batch.better.device.type} == {"meta"}
    assert batch.reference is not None and batch.reference.device.type == "meta"
    assert batch.packed.trees == (Tree(0, 3, (2, 1)),)


def test_strength_and_label_are_those_of_the_items_pairs() -> None:
    ranking = Item((1,), ((2,), (3,), (4,)), (1, 0, 1), record=1)
    strength, label = {0: 0.5, 1: 2.0}, {0: 0.9, 1: 0.75}
    batch = preference_batch(
        [PAIR, ranking],
        strength=lambda item: strength[item.record],
        label=lambda item: label[item.record],
    )
    assert batch.strength is not None and batch.strength.tolist() == [0.5, 2.0, 2.0]
    assert batch.label is not None and batch.label.tolist() == pytest.approx([0.9, 0.75, 0.75])


def single(record: int, prompt: int, *reply: int) -> Item:
    return Item((0, prompt), (reply,), record=record)


def test_unpaired_replies_come_with_mismatched_ones() -> None:
    items = [single(0, 11, 21, 22), single(1, 12, 23)]
    other = {0: single(0, 11, 23), 1: single(1, 12, 21, 22)}
    batch = unpaired_batch(
        items,
        desirable=lambda item: item.record == 1,
        reference=lambda item: -1.0 - item.record,
        mismatched=lambda item: other[item.record],
        mismatched_reference=lambda item: -5.0 - item.record,
    )
    assert batch.packed.input_ids.tolist() == [0, 11, 21, 22, 0, 12, 23]
    assert batch.mismatched.input_ids.tolist() == [0, 11, 23, 0, 12, 21, 22]
    assert batch.desirable.tolist() == [False, True]
    assert batch.reference.tolist() == [-1.0, -2.0]
    assert batch.mismatched_reference.tolist() == [-5.0, -6.0]
    assert batch.totals() == Totals(sequences=2, rows=3, tokens=14)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12), st.integers(0, 99))
def test_replies_are_mismatched_with_another_prompt_the_same_way_each_time(
    asked: list[int], seed: int
) -> None:
    asked = [*asked, 4]
    items = [single(n, prompt, 100 + n) for n, prompt in enumerate(asked)]
    made = mismatches(items, Seed(seed), max_length=9)
    assert [item.record for item in made] == list(range(len(items)))
    assert [item.prompt for item in made] == [item.prompt for item in items]
    assert made == mismatches(items, Seed(seed), max_length=9)
    partners = [item.responses[0][0] - 100 for item in made]
    assert all(asked[i] != asked[j] for i, j in enumerate(partners))


def test_prompts_that_are_all_different_lend_each_reply_once() -> None:
    items = [single(n, n, 100 + n) for n in range(50)]
    made = mismatches(items, Seed(3), max_length=9)
    assert sorted(item.responses for item in made) == [((100 + n,),) for n in range(50)]


def test_a_prompt_too_long_for_another_reply_loses_its_beginning_but_for_bos() -> None:
    long, short = Item((0, 1, 2, 3, 4), ((9,),)), Item((0, 7), ((5, 6, 8),), record=1)
    made = mismatches([long, short], Seed(0), max_length=6)
    assert (made[0].prompt, made[0].responses) == ((0, 3, 4), ((5, 6, 8),))
    assert (made[1].prompt, made[1].responses) == ((0, 7), ((9,),))


def test_one_prompt_cannot_be_mismatched() -> None:
    with pytest.raises(DataError, match="all have the same prompt"):
        mismatches([single(0, 1, 2), single(1, 1, 3)], Seed(0), max_length=9)
