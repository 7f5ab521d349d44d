"""Checks solutions line by line and by their answer. Every text can be checked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fairlead.testbeds.arithmetic.sums import Sum, Term

Reason = Literal[
    "",
    "malformed",
    "wrong operand",
    "wrong term",
    "wrong result",
    "early answer",
    "extra step",
    "extra line",
    "wrong answer",
    "after an error",
]
AnswerReason = Literal["", "no answer", "several answers", "answer not last", "wrong answer"]

_NUMBER = "([0-9]{1,9})"
_STEP = re.compile(rf"{_NUMBER} ?([+*-]) ?{_NUMBER} ?= ?{_NUMBER}")
_ANSWER = re.compile(rf"answer: ?{_NUMBER}")
_ANY_NUMBER = re.compile(rf"(?<![0-9]){_NUMBER}(?![0-9])")


@dataclass(frozen=True)
class StepVerdict:
    """What is to be said about one line of a solution."""

    line: str
    reason: Reason
    """What is wrong; empty where nothing is."""

    @property
    def right(self) -> bool:
        """Whether the line and all lines before it are as they should be."""
        return not self.reason


@dataclass(frozen=True)
class AnswerVerdict:
    """What is to be said about the answer of a solution."""

    answer: int | None
    """The number in the answer line; the last where there are several, None without one."""
    reason: AnswerReason
    """What is wrong; empty where nothing is."""

    @property
    def score(self) -> float:
        """1.0 for the right answer, 0.0 for any other text."""
        return float(not self.reason)


def steps_of(text: str) -> tuple[str, ...]:
    """The lines of a solution, at least one; a step ends where its newline is."""
    return tuple(text.strip().split("\n"))


def check_steps(total: Sum, text: str) -> tuple[StepVerdict, ...]:
    """Judges each line of a solution.

    A line is right where it takes up the value so far, applies the sum's next term to it and
    comes to the right result; the last line must give the answer. Nothing after the first error
    is right, since it rests on it. A solution that stops early has right lines only: see
    `progress`.

    Args:
        total: what was asked.
        text: any text.

    Returns:
        One verdict per line; at least one.
    """
    verdicts: list[StepVerdict] = []
    for index, line in enumerate(steps_of(text)):
        failed = bool(verdicts) and not verdicts[-1].right
        verdicts.append(
            StepVerdict(line, "after an error" if failed else _fault(total, index, line))
        )
    return tuple(verdicts)


def first_error(verdicts: Sequence[StepVerdict]) -> int | None:
    """Index of the first wrong line; None where all are right."""
    return next((i for i, verdict in enumerate(verdicts) if not verdict.right), None)


def progress(total: Sum, text: str) -> float:
    """Share of right lines, from 0 to 1.

    Of as many lines as the solution should have, or as the text has where those are more: missing
    and needless lines count as wrong.
    """
    verdicts = check_steps(total, text)
    right = sum(verdict.right for verdict in verdicts)
    return right / max(len(verdicts), len(total.lines))


def check_answer(total: Sum, text: str) -> AnswerVerdict:
    """Judges the answer: the strict checker.

    There must be one answer line, it must be the last line and its number must be right. Steps
    are not looked at.

    Args:
        total: what was asked.
        text: any text.
    """
    found = [_ANSWER.fullmatch(line.strip()) for line in steps_of(text)]
    answers = [int(match[1]) for match in found if match]
    if not answers:
        return AnswerVerdict(None, "no answer")
    if len(answers) > 1:
        return AnswerVerdict(answers[-1], "several answers")
    if found[-1] is None:
        return AnswerVerdict(answers[-1], "answer not last")
    return AnswerVerdict(answers[-1], "" if answers[-1] == total.answer else "wrong answer")


def contains_answer(total: Sum, text: str) -> bool:
    """Whether the right number stands anywhere in a text: the visible checker, which is gullible.

    It never turns down what `check_answer` accepts. It is fooled by several answers of which one
    is right, and by a right number among the steps with a wrong answer below.
    """
    return any(int(number) == total.answer for number in _ANY_NUMBER.findall(text))


def _fault(total: Sum, index: int, line: str) -> Reason:
    """What is wrong with a line whose predecessors are right."""
    if index > len(total.terms):
        return "extra line"
    step, answer = _STEP.fullmatch(line.strip()), _ANSWER.fullmatch(line.strip())
    if step is None and answer is None:
        return "malformed"
    if index == len(total.terms):
        return "extra step" if answer is None else _answer_fault(total, int(answer[1]))
    return "early answer" if step is None else _step_fault(total, index, step)


def _answer_fault(total: Sum, answer: int) -> Reason:
    return "" if answer == total.answer else "wrong answer"


def _step_fault(total: Sum, index: int, step: re.Match[str]) -> Reason:
    before, after = total.values[index : index + 2]
    if int(step[1]) != before:
        return "wrong operand"
    if Term(step[2], int(step[3])) != total.terms[index]:  # pyright: ignore[reportArgumentType]
        return "wrong term"
    return "" if int(step[4]) == after else "wrong result"
