"""Where steps end in the tokens, and what is learned there."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.data.batches import pack
from fairlead.data.chat import ChatFormat, Item
from fairlead.data.steps import (
    at_ends,
    encode_steps,
    line_ends,
    outcomes,
    solution_text,
    step_batch,
    targets,
)
from fairlead.records import Prompt, Rating, StepLabels
from fairlead.testbeds.arithmetic import ArithmeticWorld


def merging() -> ChatFormat:
    """A tokenizer that merges a full stop with the line break behind it, and words of letters."""
    letters = [chr(c) for c in range(32, 127)] + ["\n"]
    merges = [(".", "\n"), ("o", "n"), ("on", "e"), ("e", "\n")]
    vocabulary = ["<eos>", *letters, *("".join(m) for m in merges)]
    backend = Tokenizer(models.BPE({s: i for i, s in enumerate(vocabulary)}, merges))
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Fuse()
    return ChatFormat(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>"))


def arithmetic() -> ChatFormat:
    return ChatFormat(ArithmeticWorld().tokenizer())


def solution(*labels: int | None, **more: object) -> StepLabels:
    steps = tuple(f"step {k} is done." for k in range(len(labels)))
    return StepLabels.model_validate(
        {"prompt": Prompt.of("why"), "steps": steps, "labels": labels, **more}
    )


def test_ends_of_lines_where_every_sign_is_a_token() -> None:
    chat = arithmetic()
    text = "17 + 25 = 42\n42 - 4 = 38\nanswer: 38"
    _, ids = chat.response_ids(Prompt.of("What is 17 + 25 - 4?"), text)
    ends = line_ends(chat, ids)
    assert [chat.text(ids[: end + 1]) for end in ends] == [
        "17 + 25 = 42",
        "17 + 25 = 42\n42 - 4 = 38",
        text,
    ]
    assert len(ids) == ends[-1] + 2  # the EOS alone is behind


def test_a_token_that_holds_end_and_line_break_ends_the_step() -> None:
    chat = merging()
    _, ids = chat.response_ids(Prompt.of("why"), "first.\none\nlast")
    tokens = chat.tokenizer.convert_ids_to_tokens(list(ids))
    assert [tokens[end] for end in line_ends(chat, ids)] == [".\n", "one", "t"]


def test_blank_lines_are_no_steps() -> None:
    chat = merging()
    _, ids = chat.response_ids(Prompt.of("why"), "one\n\n \nlast\n")
    assert [chat.text(ids[: e + 1]).split("\n")[-1] for e in line_ends(chat, ids)] == [
        "one",
        "last",
    ]
    assert line_ends(chat, (chat.eos,)) == ()


@given(
    steps=st.lists(
        st.text("abone. ", min_size=1, max_size=12).filter(lambda s: s.strip()),
        min_size=1,
        max_size=5,
    )
)
def test_every_step_is_found_whatever_is_merged(steps: list[str]) -> None:
    chat = merging()
    _, ids = chat.response_ids(Prompt.of("why"), solution_text(steps))
    ends = line_ends(chat, ids)
    assert len(ends) == len(steps) and list(ends) == sorted(set(ends))
    for place, end in enumerate(ends):
        whole = solution_text(steps[: place + 1])
        assert chat.text(ids[: end + 1]) == whole.strip()
        assert len(chat.text(ids[:end])) < len(whole.strip())


def test_labels_stop_at_the_first_wrong_step() -> None:
    record = solution(1, 0, -1, 1, -1)
    assert targets(record, "right") == [(0, 1.0), (1, 1.0), (2, 0.0)]
    assert targets(record, "skip") == [(0, 1.0), (2, 0.0)]
    assert targets(solution(None, 1, None), "right") == [(1, 1.0)]
    estimated = solution(None, None, probabilities=(0.75, 0.2))
    assert targets(estimated, "right") == [(0, 0.75), (1, 0.2)]


def test_outcomes_label_the_last_step_alone() -> None:
    rated = Rating(prompt=Prompt.of("why"), response="a\n\nb\nc", value=0.0)
    made = outcomes([rated, solution(1, 1), solution(1, -1, None)])
    assert made[0].steps == ("a", "b", "c")
    assert [m.labels for m in made] == [(None, None, -1), (None, 1), (None, None, -1)]
    with pytest.raises(DataError, match="rated replies"):
        outcomes([Prompt.of("why")])


def test_encoding_counts_what_is_left_out() -> None:
    empty = StepLabels(prompt=Prompt.of("why"), steps=("a", " "), labels=(1, 1))
    items, report = encode_steps(
        [solution(1, -1), empty, solution(None)], merging(), max_length=200
    )
    assert [item.record for item in items] == [0] and items[0].labels == (1.0, 0.0)
    assert (report.merged, report.unlabelled, report.encoded.kept) == (1, 1, 3)
    with pytest.raises(DataError, match="no labelled solution"):
        encode_steps([empty], merging(), max_length=200)


def blind() -> ChatFormat:
    """A tokenizer of whole words that drops line breaks, as those of many encoders do."""
    backend = Tokenizer(models.WordLevel({"<eos>": 0, "<unk>": 1, "last": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return ChatFormat(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>"))


def test_outcomes_are_labelled_where_line_breaks_do_not_show() -> None:
    record = StepLabels(prompt=Prompt.of("why"), steps=("one", "two", "last"), labels=(1, 1, -1))
    (item,), report = encode_steps(outcomes([record]), blind(), max_length=100)
    assert report.merged == 0 and item.labels == (0.0,)
    assert [item.responses[0][end] for end in item.ends] == [2]
    with pytest.raises(DataError, match="no labelled solution"):
        encode_steps([record], blind(), max_length=100)


@pytest.mark.parametrize("share", [True, False])
def test_rows_of_a_batch_are_the_last_tokens_of_its_steps(share: bool) -> None:
    chat, world = arithmetic(), ArithmeticWorld()
    records = world.step_labels(6, Seed(0))
    items, _ = encode_steps(records, chat, max_length=128)
    batch = step_batch(items, share_prompts=share)
    assert batch.totals().rows == sum(len(item.labels) for item in items)
    assert batch.labels.tolist() == [label for item in items for label in item.labels]
    taken = batch.packed.input_ids[batch.packed.rows]
    expected = [item.responses[0][end] for item in items for end in item.ends]
    assert taken.tolist() == expected == batch.packed.targets.tolist()
    lengths = [len(item.ends) for item in items]
    assert batch.packed.row_sequence.bincount().tolist() == lengths


def test_rows_in_branches_of_one_prompt() -> None:
    packed = pack([Item((1, 2), ((3, 4, 5), (6, 7))), Item((8,), ((9,),))])
    moved = at_ends(packed, [(0, 2), (), (0,)])
    assert moved.input_ids[moved.rows].tolist() == [3, 5, 9]
    assert torch.equal(moved.row_sequence, torch.tensor([0, 0, 2]))
