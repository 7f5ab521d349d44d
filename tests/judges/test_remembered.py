"""Answers are asked once, whoever stops in between."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fairlead.judges.asking import Answer, Question
from fairlead.judges.remembered import CHUNK, Remembered
from fairlead.judges.server.cache import AnswerCache
from fairlead.records import Prompt


class Counting:
    """Says back what it is asked, and counts; breaks down at the question named."""

    name = "echo"

    def __init__(self, stumbles_at: str = "") -> None:
        self.asked: list[str] = []
        self.stumbles_at = stumbles_at

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        said = [q.prompt.first_user_turn for q in questions]
        if self.stumbles_at in said:
            raise KeyboardInterrupt
        self.asked += said
        return [Answer(text=text) for text in said]


def questions(count: int) -> list[Question]:
    return [Question(prompt=Prompt.of(f"number {i}")) for i in range(count)]


def test_equal_questions_are_asked_once_and_answered_in_order():
    echo = Counting()
    remembered = Remembered(echo, AnswerCache(None), "weights")
    few = questions(3)
    answers = remembered.ask([few[2], few[0], few[2], few[1]])
    assert [a.text for a in answers] == ["number 2", "number 0", "number 2", "number 1"]
    assert echo.asked == ["number 2", "number 0", "number 1"]
    remembered.ask(few)
    assert len(echo.asked) == 3


def test_a_run_that_died_asks_only_what_is_missing(tmp_path: Path):
    first = Counting(stumbles_at=f"number {CHUNK + 1}")
    with pytest.raises(KeyboardInterrupt):
        Remembered(first, AnswerCache(tmp_path / "a.db"), "w").ask(questions(2 * CHUNK))
    assert len(first.asked) == CHUNK
    second = Counting()
    answers = Remembered(second, AnswerCache(tmp_path / "a.db"), "w").ask(questions(2 * CHUNK))
    assert second.asked == [f"number {i}" for i in range(CHUNK, 2 * CHUNK)]
    assert [a.text for a in answers] == [f"number {i}" for i in range(2 * CHUNK)]


def test_other_weights_are_asked_again(tmp_path: Path):
    cache = AnswerCache(tmp_path / "a.db")
    Remembered(Counting(), cache, "old").ask(questions(2))
    other = Counting()
    Remembered(other, cache, "new").ask(questions(2))
    assert len(other.asked) == 2
