"""Sums of several terms, worked out from left to right, and how hard they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import add, mul, sub
from typing import Literal, TypeVar, get_args

import numpy as np

Operator = Literal["+", "-", "*"]
Split = Literal["train", "held_out"]
Level = Literal[1, 2, 3, 4, 5]
LEVELS: tuple[Level, ...] = get_args(Level)

T = TypeVar("T")

_APPLY = {"+": add, "-": sub, "*": mul}
_LARGEST_VALUE = 99
_LARGEST_FACTOR = 9


@dataclass(frozen=True)
class Term:
    """What one step does to the value so far."""

    operator: Operator
    number: int

    def apply(self, value: int) -> int:
        """The value after the step."""
        return _APPLY[self.operator](value, self.number)


@dataclass(frozen=True)
class Sum:
    """A number and what is done to it, in order.

    A product comes first or not at all, so that working from left to right is always correct.
    """

    first: int
    terms: tuple[Term, ...]

    @property
    def values(self) -> tuple[int, ...]:
        """The value at the start and after each step."""
        values = [self.first]
        for term in self.terms:
            values.append(term.apply(values[-1]))
        return tuple(values)

    @property
    def answer(self) -> int:
        """The value after the last step."""
        return self.values[-1]

    @property
    def lines(self) -> tuple[str, ...]:
        """The worked solution: one line per step, and the answer."""
        steps = (
            step_line(before, term, after)
            for term, (before, after) in zip(self.terms, pairwise(self.values), strict=True)
        )
        return (*steps, answer_line(self.answer))


def step_line(before: int, term: Term, after: int) -> str:
    """One step of a solution, such as "17 + 25 = 42"."""
    return f"{before} {term.operator} {term.number} = {after}"


def answer_line(answer: int) -> str:
    """The last line of a solution, such as "answer: 38"."""
    return f"answer: {answer}"


@dataclass(frozen=True)
class _Difficulty:
    terms: int
    largest: int
    product: bool = False


_DIFFICULTIES: dict[Level, _Difficulty] = {
    1: _Difficulty(terms=1, largest=20),
    2: _Difficulty(terms=2, largest=20),
    3: _Difficulty(terms=3, largest=20),
    4: _Difficulty(terms=4, largest=50),
    5: _Difficulty(terms=5, largest=50, product=True),
}


def draw_sum(level: Level, rng: np.random.Generator) -> Sum:
    """A random sum of a level.

    Levels 1, 2 and 3 have as many steps and numbers up to 20, level 4 has four steps and numbers up
    to 50, and level 5 five, of which the first is a product of two digits. Numbers are at least 1,
    and no value on the way leaves 0 to 99.
    """
    difficulty = _DIFFICULTIES[level]
    if difficulty.product:
        first, factor = rng.integers(2, _LARGEST_FACTOR + 1, size=2).tolist()
        terms = [Term("*", factor)]
    else:
        first, terms = int(rng.integers(1, difficulty.largest + 1)), list[Term]()
    value = Sum(first, tuple(terms)).answer
    while len(terms) < difficulty.terms:
        terms.append(_draw_term(value, difficulty.largest, rng))
        value = terms[-1].apply(value)
    return Sum(first, tuple(terms))


def _draw_term(value: int, largest: int, rng: np.random.Generator) -> Term:
    """Adds or takes away, so that the value stays in range."""
    room: dict[Operator, int] = {
        "+": min(largest, _LARGEST_VALUE - value),
        "-": min(largest, value),
    }
    operators: list[Operator] = [operator for operator in room if room[operator] > 0]
    operator = pick(operators, rng)
    return Term(operator, int(rng.integers(1, room[operator] + 1)))


def pick(options: Sequence[T], rng: np.random.Generator) -> T:
    """One of the options, each equally likely."""
    return options[int(rng.integers(len(options)))]
