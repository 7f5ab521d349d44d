"""Text piece by piece: whole characters, nothing taken back, nothing of a stop text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_world import byte_tokenizer

from fairlead.serving.text import Unfolding, cut
from small_world import tokenizer


def pieces(tokens, *, stops=(), strip=False, by=byte_tokenizer):
    unfolding = Unfolding(by(), stops, strip=strip)
    found = []
    for token in tokens:
        found.append(unfolding.add([token]))
        if unfolding.stopped:
            break
    return [*found, unfolding.end()], unfolding


def spelled(text: str) -> list[int]:
    return byte_tokenizer()(text)["input_ids"]


def test_a_character_of_four_bytes_comes_with_its_last_byte():
    found, _ = pieces(spelled("a\U0001f600b"))
    assert found == ["a", "", "", "", "\U0001f600", "b", ""]


def test_an_unfinished_character_is_shown_as_broken_at_the_end_only():
    found, _ = pieces(spelled("é")[:1])
    assert found == ["", "\ufffd"]


def test_what_may_begin_a_stop_text_is_held_back_until_it_does_not():
    found, unfolding = pieces(spelled("abac abx"), stops=("abx",))
    assert found == ["", "", "aba"[:2], "ac", " ", "", "", "", ""]
    assert "".join(found) == "abac "
    assert unfolding.stopped


def test_a_stop_text_that_never_ends_is_given_out_at_the_end():
    found, unfolding = pieces(spelled("so STO"), stops=("STOP",))
    assert found == ["s", "o", " ", "", "", "", "STO"]
    assert not unfolding.stopped


def test_of_several_stop_texts_the_first_to_be_complete_ends_the_reply():
    found, _ = pieces(spelled("one two three"), stops=("three", "two"))
    assert "".join(found) == "one "


def test_white_space_at_both_ends_is_left_out_and_within_it_stays():
    found, unfolding = pieces(spelled("  \n a  b \n "), strip=True)
    assert found == ["", "", "", "", "a", "", "", "  b", "", "", "", ""]
    assert unfolding.whole == "a  b"


def test_words_are_parted_by_blanks_as_in_the_whole_text():
    ids = tokenizer()("w0 w1")["input_ids"]
    words = tokenizer().convert_ids_to_tokens([7, 8, 9])
    found, _ = pieces([7, 8, 9], by=tokenizer)
    assert found == [words[0], f" {words[1]}", f" {words[2]}", ""]
    assert len(ids) == 2


def test_special_tokens_show_nothing():
    eos = int(tokenizer().eos_token_id)
    found, _ = pieces([7, eos, 8], by=tokenizer)
    assert "".join(found) == tokenizer().decode([7, eos, 8], skip_special_tokens=True)


@given(st.lists(st.integers(1, 256), max_size=60), st.booleans())
def test_pieces_of_any_bytes_join_to_the_decoded_text(tokens, strip):
    found, unfolding = pieces(tokens, strip=strip)
    text = byte_tokenizer().decode(tokens, skip_special_tokens=True)
    assert "".join(found) == (text.strip() if strip else text) == unfolding.whole
    at_once = Unfolding(byte_tokenizer(), (), strip=strip)
    assert at_once.add(tokens) + at_once.end() == unfolding.whole


@given(
    st.text("ab ", max_size=30),
    st.lists(st.text("ab ", min_size=1, max_size=4), min_size=1, max_size=3),
    st.booleans(),
)
def test_a_reply_ends_where_the_first_stop_text_is_complete(text, stops, strip):
    found, unfolding = pieces(spelled(text), stops=stops, strip=strip)
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    whole = text if not ends else cut(text[: min(ends)], stops)
    assert "".join(found) == (whole.strip() if strip else whole)
    assert unfolding.stopped == bool(ends)


@pytest.mark.parametrize(
    ("text", "stops", "left"),
    [("abc", ("c", "b"), "a"), ("abc", ("x",), "abc"), ("abc", (), "abc"), ("abc", ("a",), "")],
)
def test_a_whole_text_is_cut_at_its_first_stop_text(text, stops, left):
    assert cut(text, stops) == left
