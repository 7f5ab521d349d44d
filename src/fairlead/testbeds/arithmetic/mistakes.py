"""Solutions with one mistake at a known line."""

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from fairlead.testbeds.arithmetic.sums import Sum, answer_line, pick, step_line

Fault = Literal["wrong result", "wrong operand", "dropped term", "lucky answer"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

_SLIPS = (-10, -2, -1, 1, 2, 10)
"""How far a wrong number lies from the right one: miscounted by one or two, or a carry missed."""


def faulty_lines(total: Sum, fault: Fault, rng: np.random.Generator) -> tuple[str, ...]:
    """A solution with one mistake; what comes after it goes on from it.

    Args:
        total: what was asked.
        fault: `wrong result`: a step comes to a wrong number. `wrong operand`: a step starts from
            another number than the value so far. `dropped term`: a step is left out. `lucky
            answer`: a step comes to a wrong number, and the answer is right all the same.
        rng: draws the place and the size of the mistake; every possible one is equally likely.

    Returns:
        Lines, in which no number is below zero. The answer is wrong except with `lucky answer`.
    """
    return pick(list(_candidates(total, fault)), rng)


def second_guess(total: Sum, rng: np.random.Generator) -> tuple[str, ...]:
    """Right steps and two answers in random order, of which one is right."""
    wrong = answer_line(pick(list(_near(total.answer)), rng))
    *steps, right = total.lines
    answers = (right, wrong) if rng.random() < 0.5 else (wrong, right)
    return (*steps, *answers)


def _candidates(total: Sum, fault: Fault) -> Iterator[tuple[str, ...]]:
    """Every way to make a mistake of this sort."""
    slips = (0,) if fault == "dropped term" else _SLIPS
    for place in range(len(total.terms)):
        for slip in slips:
            steps, values = _work(total, fault, place, slip)
            if min(values) >= 0:
                answer = total.answer if fault == "lucky answer" else values[-1]
                yield (*steps, answer_line(answer))


def _work(total: Sum, fault: Fault, place: int, slip: int) -> tuple[list[str], list[int]]:
    """The steps with a mistake at one place, and every value on the way."""
    steps, values = list[str](), [total.first]
    for index, term in enumerate(total.terms):
        here = index == place
        if here and fault == "dropped term":
            continue
        before = values[-1] + (slip if here and fault == "wrong operand" else 0)
        after = term.apply(before)
        if here and fault in ("wrong result", "lucky answer"):
            after += slip
        steps.append(step_line(before, term, after))
        values += [before, after]
    return steps, values


def _near(value: int) -> Iterator[int]:
    return (value + slip for slip in _SLIPS if value + slip >= 0)
