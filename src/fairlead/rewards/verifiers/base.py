"""The shape of a checker: a frozen value that compares a reply with what is known to be right."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from fairlead.records import Problem

FENCED = re.compile(r"^[ \t]*```[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.M | re.S)
"""A fenced block: its language and its content; the last may have no end."""


@dataclass(frozen=True)
class Checked:
    """What a checker found."""

    score: float
    """From 0 (wrong) to 1 (right)."""
    parsed: str
    """What was taken for the answer; empty where none was found."""
    reason: str
    """Short code, such as `correct`, `wrong`, `no_answer`, `several_answers` or `timeout`."""
    detail: str = ""
    """More words for people: the first failed test, the place of a schema fault."""
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    """What the score is made of, where a checker joins several."""


class Checker(BaseModel, ABC):
    """Compares a reply with a problem's known answer.

    A checker is deterministic, has no side effects and ends in bounded time. It never raises for
    any text of a model: what cannot be read scores 0 and has a reason.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    section: str = Field(default="", pattern=r"^\w*$")
    """Name of the tag whose last `<tag>…</tag>` holds the answer; empty takes the whole reply."""

    @abstractmethod
    def check(self, problem: Problem, text: str) -> Checked:
        """Checks a reply.

        Raises:
            DataError: the problem itself cannot be used, whatever the reply.
        """

    def answer_in(self, text: str) -> str | None:
        """The part of a reply that may hold the answer; None where its section is missing."""
        if not self.section:
            return text
        before = text.rpartition(f"</{self.section}>")[0]
        _, opened, inside = before.rpartition(f"<{self.section}>")
        return inside if opened else None


def without_question(problem: Problem, text: str) -> str:
    """A reply without what it repeats of the user's turn word for word.

    A number that was in the question is no answer. Turns of up to three words are left alone, for
    an answer may well hold them.
    """
    asked = problem.prompt.messages[-1].content.strip()
    return text.replace(asked, " ") if len(asked.split()) > 3 else text


NO_ANSWER = Checked(0.0, "", "no_answer")


def verdict(right: bool, parsed: str, *, several: bool = False) -> Checked:
    """A right or wrong answer; a right one after other answers is marked, for it may be a hedge."""
    if not right:
        return Checked(0.0, parsed, "wrong")
    return Checked(1.0, parsed, "several_answers" if several else "correct")
