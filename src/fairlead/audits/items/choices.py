"""Questions with lettered choices: `(A) ...` under `(B) ...`, asked for the letter.

Every one is asked with its choices in their order and in reverse, so that a liking for a letter
cancels out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairlead.judges.asking import Answer, Question
from fairlead.records import Message, Prompt

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_CHOICE = re.compile(r"^[ \t]*\(([A-Z])\)[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_HEAD = re.compile(r"\s*(?:Choices:)?\s*$")


@dataclass(frozen=True)
class Lettered:
    """A question with choices."""

    stem: str
    choices: tuple[str, ...]


def parse(text: str) -> Lettered | None:
    """The stem and the choices of a text that lists them one to a line; None where it does not."""
    found = list(_CHOICE.finditer(text))
    if len(found) < 2 or [m[1] for m in found] != list(LETTERS[: len(found)]):
        return None
    choices = tuple(match[2] for match in found)
    if not all(choices) or len(set(choices)) < len(choices):
        return None
    return Lettered(_HEAD.sub("", text[: found[0].start()]), choices)


def asked(stem: str, choices: Sequence[str], *, before: Sequence[Message] = ()) -> Question:
    """The question for the letter of a choice.

    Args:
        stem: what is asked.
        choices: at least two.
        before: earlier turns.
    """
    lines = [f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]
    text = "\n".join([stem, "", *lines, "", "Answer with the letter alone."])
    turn = Message(role="user", content=text)
    letters = tuple(LETTERS[: len(choices)])
    return Question(prompt=Prompt(messages=(*before, turn)), options=letters)


def both_orders(stem: str, choices: Sequence[str]) -> tuple[Question, Question]:
    """The question with its choices as they stand, and in reverse."""
    return asked(stem, choices), asked(stem, choices[::-1])


def balanced(one: Answer, reverse: Answer) -> NDArray[np.float64] | None:
    """[choice] mean probability over both orders; None unless both were answered."""
    if one.state != "scored" or reverse.state != "scored":
        return None
    return (np.array(one.probabilities) + np.array(reverse.probabilities)[::-1]) / 2


def state_of(*answers: Answer) -> str:
    """How several answers to one item ended: the first that is not scored, else scored."""
    return next((answer.state for answer in answers if answer.state != "scored"), "scored")
