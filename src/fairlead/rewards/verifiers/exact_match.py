"""Checks that a reply is the answer, letter for letter after declared changes."""

import unicodedata
from typing import Literal

from fairlead.records import Problem
from fairlead.rewards.verifiers.base import NO_ANSWER, Checked, Checker, verdict


class ExactChecker(Checker):
    """Compares the whole reply, or its section, with the answer.

    Characters are compared in Unicode's composed form (NFC), never by their looks: a Cyrillic
    letter is no Latin one.
    """

    kind: Literal["exact"] = "exact"
    ignore_case: bool = False
    """Whether capitals count as small letters."""
    ignore_space: bool = True
    """Whether outer white space is cut and inner white space counts as one blank."""

    def check(self, problem: Problem, text: str) -> Checked:
        """Checks a reply."""
        inside = self.answer_in(text)
        if inside is None or not inside.strip():
            return NO_ANSWER
        if self.ignore_space:
            inside = " ".join(inside.split())
        # Composing takes long for long runs of accents, and such a reply is wrong in any case.
        if len(inside) > 100 + 10 * len(problem.answer):
            return Checked(0.0, inside[:100], "wrong")
        parsed = self._normal(inside)
        return verdict(parsed == self._normal(problem.answer), parsed)

    def _normal(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text)
        if self.ignore_space:
            text = " ".join(text.split())
        return text.casefold() if self.ignore_case else text
