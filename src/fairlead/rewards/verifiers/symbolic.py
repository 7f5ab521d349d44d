"""Checks mathematical answers by their meaning, with math-verify.

Extraction after methods common in the literature: the last boxed expression, or what follows the
last marker. Kydlíček 2025, Math-Verify.
"""

import functools
import re
from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import Field

from fairlead.core.errors import DataError
from fairlead.records import Problem
from fairlead.rewards.verifiers.base import NO_ANSWER, Checked, Checker, verdict, without_question
from fairlead.rewards.verifiers.boxes import answers, boxed
from fairlead.rewards.verifiers.workers import Pool, require_package

LONGEST = 1000
"""Characters of the longest expression that is read."""
MEMORY_BYTES = 2 * 2**30
PLAIN = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3}){1,30}|[0-9]{1,100})(?:\.[0-9]{1,100})?")


class MathChecker(Checker):
    r"""Compares the last answer of a reply with the problem's: 1/2, 0.5 and \frac{2}{4} are one.

    An answer is a boxed expression or what follows a marker on its line; whichever comes last in
    the reply counts, so a right box inside a solution that ends otherwise is worth nothing.
    Expressions are compared as text, as numbers, then by symbolic algebra in a process that is
    stopped after `seconds`.
    """

    kind: Literal["math"] = "math"
    markers: tuple[str, ...] = ("####", "answer is", "answer:")
    """Words that announce an answer, without regard to capitals."""
    seconds: float = Field(default=5.0, gt=0)
    """Time for one comparison; an answer that takes longer is wrong, with reason `timeout`."""

    def check(self, problem: Problem, text: str) -> Checked:
        """Checks a reply.

        Raises:
            ConfigError: math-verify is not installed.
            DataError: the problem's answer is empty.
        """
        pool = _pool()
        gold = _gold(problem.answer)
        found = answers(without_question(problem, self.answer_in(text) or ""), self.markers)
        if not found:
            return NO_ANSWER
        last = found[-1].content
        if last is None or len(last) > LONGEST:
            return Checked(0.0, (last or "")[:LONGEST], "malformed")
        if not last.strip():
            return NO_ANSWER
        several = len({_squeezed(f.content or "") for f in found}) > 1
        if _same_text(gold, last):
            return verdict(True, last, several=several)
        answer = pool.ask({"gold": gold, "answer": last}, self.seconds)
        if isinstance(answer, str):
            return Checked(0.0, last, answer)
        if not answer["readable"]:
            return Checked(0.0, last, "malformed")
        return verdict(answer["equal"], last, several=several)


@functools.cache
def _pool() -> Pool:
    require_package("math_verify", "the math checker needs math-verify")
    return Pool(Path(__file__).with_name("symbolic_worker.py"), MEMORY_BYTES)


def _gold(answer: str) -> str:
    boxes = boxed(answer)
    gold = (boxes[-1].content or "") if boxes else answer.strip().strip("$").strip()
    if not gold:
        raise DataError(
            "the answer of a math problem is empty",
            got=repr(answer[:80]),
            remedy="give the expression that is right, such as \\frac{1}{2}",
        )
    return gold


def _squeezed(expression: str) -> str:
    return re.sub(r"\s+|\\[,;!]", "", expression).strip("$")


def _same_text(gold: str, answer: str) -> bool:
    """Whether the two are the same but for blanks, or the same number as plain decimals."""
    a, b = (_squeezed(e).replace("{,}", ",") for e in (gold, answer))
    if a == b:
        return True
    both = PLAIN.fullmatch(a) and PLAIN.fullmatch(b)
    return bool(both) and Fraction(a.replace(",", "")) == Fraction(b.replace(",", ""))
