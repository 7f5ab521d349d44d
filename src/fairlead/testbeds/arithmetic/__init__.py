"""A small world of sums with a known truth for every step, for learning to reason."""

from fairlead.testbeds.arithmetic.checkers import AnswerVerdict, StepVerdict, first_error
from fairlead.testbeds.arithmetic.mistakes import FAULTS, Fault
from fairlead.testbeds.arithmetic.sums import LEVELS, Level, Split
from fairlead.testbeds.arithmetic.wordings import WORDINGS, WordingName
from fairlead.testbeds.arithmetic.world import ArithmeticWorld

__all__ = [
    "FAULTS",
    "LEVELS",
    "WORDINGS",
    "AnswerVerdict",
    "ArithmeticWorld",
    "Fault",
    "Level",
    "Split",
    "StepVerdict",
    "WordingName",
    "first_error",
]
