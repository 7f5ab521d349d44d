"""Ways to ask for a sum, and the way back from the question to the sum."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from fairlead.testbeds.arithmetic.sums import Operator, Sum, Term

WordingName = Literal["what", "compute", "spoken", "orders"]
WORDINGS: tuple[WordingName, ...] = get_args(WordingName)

_NUMBER = "([0-9]{1,9})"


@dataclass(frozen=True)
class Wording:
    """The fixed words around the numbers of a question."""

    opening: str
    plus: str
    minus: str
    times: str
    closing: str

    @property
    def phrases(self) -> dict[Operator, str]:
        """What stands between two numbers."""
        return {"+": self.plus, "-": self.minus, "*": self.times}

    @property
    def pieces(self) -> frozenset[str]:
        """All words of the wording."""
        return frozenset({self.opening, self.closing, *self.phrases.values()})

    def ask(self, total: Sum) -> str:
        """The question for a sum."""
        terms = (f"{self.phrases[term.operator]}{term.number}" for term in total.terms)
        return f"{self.opening}{total.first}{''.join(terms)}{self.closing}"

    def read(self, question: str) -> Sum | None:
        """The sum that a question asks for; None where it is no question of this wording."""
        plus, minus, times = map(re.escape, (self.plus, self.minus, self.times))
        start = rf"{re.escape(self.opening)}{_NUMBER}"
        rest = rf"((?:{times}[0-9]{{1,9}})?(?:(?:{plus}|{minus})[0-9]{{1,9}})*)"
        found = re.fullmatch(rf"{start}{rest}{re.escape(self.closing)}", question)
        if found is None:
            return None
        signs: dict[str, Operator] = {phrase: sign for sign, phrase in self.phrases.items()}
        terms = re.findall(rf"({plus}|{minus}|{times}){_NUMBER}", found[2])
        total = Sum(int(found[1]), tuple(Term(signs[phrase], int(n)) for phrase, n in terms))
        sound = total.terms and min(total.values) >= 0 and self.ask(total) == question
        return total if sound else None


_WORDINGS: dict[WordingName, Wording] = {
    "what": Wording("What is ", " + ", " - ", " * ", "?"),
    "compute": Wording("Compute ", " + ", " - ", " * ", "."),
    "spoken": Wording("How much is ", " plus ", " minus ", " times ", "?"),
    "orders": Wording("Start with ", ", add ", ", take away ", ", multiply by ", "."),
}


def ask(total: Sum, wording: WordingName) -> str:
    """The question for a sum in one of the wordings.

    "What is 3 + 4 - 2?", "Compute 3 + 4 - 2.", "How much is 3 plus 4 minus 2?" or
    "Start with 3, add 4, take away 2."
    """
    return _WORDINGS[wording].ask(total)


def read(question: str) -> tuple[Sum, WordingName] | None:
    """The sum and the wording of a question; None where the text is not a question of the world.

    The inverse of `ask` for sums of at least one step whose values never fall below zero.
    """
    for name, wording in _WORDINGS.items():
        total = wording.read(question)
        if total is not None:
            return total, name
    return None


def pieces() -> frozenset[str]:
    """The fixed words of all wordings."""
    return frozenset().union(*(wording.pieces for wording in _WORDINGS.values()))
