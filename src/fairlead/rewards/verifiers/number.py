"""Checks the last number of a reply, as the grader of GSM8K does.

Cobbe et al. 2021, arXiv:2110.14168.
"""

import re
from collections import deque
from fractions import Fraction
from typing import Literal

from pydantic import Field

from fairlead.core.errors import DataError
from fairlead.records import Problem
from fairlead.rewards.verifiers.base import NO_ANSWER, Checked, Checker, verdict, without_question

# ASCII digits only: a full-width or Arabic digit is a look-alike, no digit of the answer.
PLAIN = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,20}(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
NUMBER = re.compile(
    rf"(?P<sign>(?<![0-9A-Za-z)\]])[-\u2212])?[$€£]?(?P<top>{PLAIN})"
    rf"(?P<exponent>[eE][-+]?[0-9]+)?(?:/(?P<below>[0-9]{{1,20}})(?![0-9/]))?"
)
DIGITS = 200
"""The longest number that is read; no answer of a problem is longer, and long ones are slow."""


class NumberChecker(Checker):
    """Compares the number after the last marker with the answer, exactly, as a fraction.

    Without a marker the last number of the reply counts. Thousands commas and currency signs are
    left out; 0.5, .50, 1/2 and 5e-1 are one number.
    """

    kind: Literal["number"] = "number"
    marker: str = Field(default="####", min_length=1)
    """What announces the answer."""
    need_marker: bool = False
    """Whether a reply without the marker has no answer."""
    tolerance: float = Field(default=0.0, ge=0)
    """How far from the answer a number may be and still be right."""

    def check(self, problem: Problem, text: str) -> Checked:
        """Checks a reply.

        Raises:
            DataError: the problem's answer holds no number.
        """
        gold = read(_last(self._after_marker(problem.answer)))
        if gold is None:
            raise DataError(
                "the answer of a number problem must hold a number",
                got=repr(problem.answer[:80]),
                remedy="give this problem another checker, such as `math` or `exact`",
            )
        inside = without_question(problem, self.answer_in(text) or "")
        if self.need_marker and self.marker not in inside:
            return NO_ANSWER
        found = _last(self._after_marker(inside))
        if found is None:
            return NO_ANSWER
        value = read(found)
        if value is None:
            return Checked(0.0, found.group()[:DIGITS], "malformed")
        several = len({read(_first(p)) for p in inside.split(self.marker)[1:]} - {None}) > 1
        return verdict(abs(value - gold) <= Fraction(self.tolerance), str(value), several=several)

    def _after_marker(self, text: str) -> str:
        if self.marker not in text:
            return text
        after = text.rpartition(self.marker)[2]
        first = NUMBER.search(after)
        return after[: first.end()] if first else ""


def _last(text: str) -> re.Match[str] | None:
    return next(iter(deque(NUMBER.finditer(text), maxlen=1)), None)


def _first(text: str) -> re.Match[str] | None:
    return NUMBER.search(text)


def read(found: re.Match[str] | None) -> Fraction | None:
    """The exact value of a number as written; None where it is too long or divided by 0."""
    if found is None or len(found.group()) > DIGITS or len(found["exponent"] or "") > 5:
        return None
    if found["below"] is not None and not int(found["below"]):
        return None
    value = Fraction(found["top"].replace(",", "") + (found["exponent"] or ""))
    value /= int(found["below"] or 1)
    return -value if found["sign"] else value
