"""Which replies are imitated, in which mixture, and for how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fairlead.core.seeds import Seed
from fairlead.pipeline.hints import Hints
from fairlead.pipeline.rounds import mixed
from fairlead.pipeline.selection import Best, Correct
from fairlead.pipeline.self_training import grown
from fairlead.records import Demonstration, Problem, Prompt, Rating
from fairlead.training.config import TrainConfig


def rated(*replies: tuple[str, str, float]) -> list[Rating]:
    return [Rating(prompt=Prompt.of(p), response=r, value=v) for p, r, v in replies]


def texts(chosen: list[Rating]) -> list[str]:
    return [c.response for c in chosen]


def test_best_is_the_first_of_the_highest_of_each_prompt():
    samples = rated(("a", "x", 0.0), ("b", "u", -1.0), ("a", "y", 2.0), ("a", "z", 2.0))
    assert texts(Best()(samples, threshold=1.0)) == ["y", "u"]


def test_correct_takes_each_text_once_up_to_the_cap():
    samples = rated(
        ("a", "x", 1.0), ("a", "x ", 1.0), ("a", "w", 0.9), ("a", "y", 1.0), ("a", "z", 1.5)
    )
    assert texts(Correct(cap=2)(samples, threshold=1.0)) == ["x", "y"]
    assert texts(Correct()(samples, threshold=1.0)) == ["x", "y", "z"]


@given(
    values=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("rstuv"), st.floats(0, 1))),
    cap=st.integers(1, 3),
)
def test_cap_holds_and_nothing_below_the_threshold_passes(
    values: list[tuple[str, str, float]], cap: int
):
    samples = rated(*values)
    chosen = Correct(cap=cap)(samples, threshold=0.5)
    assert all(c.value >= 0.5 for c in chosen)
    for prompt in "abc":
        own = [c.response for c in chosen if c.prompt.first_user_turn == prompt]
        right = {r for p, r, v in values if p == prompt and v >= 0.5}
        assert len(own) == len(set(own)) == min(cap, len(right))


def demonstrations(name: str, n: int) -> list[Demonstration]:
    return [Demonstration(prompt=Prompt.of(f"{name} {i}"), response=name) for i in range(n)]


@pytest.mark.parametrize(
    ("share", "others", "expected"), [(0.1, 50, 10), (0.5, 50, 50), (0.0, 50, 0), (0.1, 4, 4)]
)
def test_replay_has_its_share_of_the_whole(share: float, others: int, expected: int):
    whole = mixed(demonstrations("own", 90), demonstrations("old", others), share, Seed(0))
    if share == 0.5:
        expected = 50  # there are no more
    assert sum(d.response == "old" for d in whole) == expected
    assert len({d.prompt.first_user_turn for d in whole}) == len(whole)


def test_steps_grow_by_a_fifth_a_round():
    config = TrainConfig(batch_size=10, max_steps=40)
    steps = [grown(config, 0.2, number, 100) for number in (1, 2, 3)]
    assert [c.max_steps for c in steps] == [40, 48, 58]
    assert [c.epochs for c in steps] == [4, 5, 6]
    by_epochs = grown(TrainConfig(batch_size=10, epochs=2), 0.2, 2, 95)
    assert (by_epochs.max_steps, by_epochs.epochs) == (24, 3)


PROBLEM = Problem(prompt=Prompt.of("What is 17 + 25?"), answer="42")


def test_hint_stands_behind_the_question():
    prompt = Hints().prompt(PROBLEM)
    assert prompt.first_user_turn == "What is 17 + 25? (Hint: the answer is 42.)"


@pytest.mark.parametrize(
    ("response", "quoted"),
    [
        ("17 + 25 = 42\nanswer: 42", False),
        ("As the Hint says, 42.", True),
        ("the answer is\n42", False),
        ("We know (Hint:\nthe answer is 42.)\nso 42", True),
        ("I was told it is 42.", True),
    ],
)
def test_replies_that_quote_the_hint(response: str, quoted: bool):
    assert Hints().quoted(PROBLEM, response) == quoted


def test_a_last_line_may_be_like_the_hint():
    hints = Hints(template="\nanswer: {answer}", phrases=())
    assert not hints.quoted(PROBLEM, "17 + 25 = 42\nanswer: 42")
    assert hints.quoted(PROBLEM, "answer: 42\n17 + 25 = 42\nanswer: 42")
    assert hints.quoted(PROBLEM, "answer: 42")


def test_a_hint_must_name_the_answer():
    with pytest.raises(ValidationError, match=r"must hold \{answer\}"):
        Hints(template="think")
