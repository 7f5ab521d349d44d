"""Checkers of replies whose answer is known, by the name that recipes give them."""

from typing import Annotated

from pydantic import Field

from fairlead.rewards.verifiers.base import Checked, Checker
from fairlead.rewards.verifiers.composition import (
    GateChecker,
    SingleChecker,
    WeightedChecker,
)
from fairlead.rewards.verifiers.constraints import Constraints, ConstraintsChecker
from fairlead.rewards.verifiers.exact_match import ExactChecker
from fairlead.rewards.verifiers.number import NumberChecker
from fairlead.rewards.verifiers.sandbox import Limits
from fairlead.rewards.verifiers.structure import FormatChecker, JsonChecker
from fairlead.rewards.verifiers.symbolic import MathChecker
from fairlead.rewards.verifiers.unit_tests import CodeChecker

AnyChecker = Annotated[
    SingleChecker | WeightedChecker | GateChecker,
    Field(discriminator="kind"),
]
"""Any checker; `kind` in a recipe says which."""

__all__ = [
    "AnyChecker",
    "Checked",
    "Checker",
    "CodeChecker",
    "Constraints",
    "ConstraintsChecker",
    "ExactChecker",
    "FormatChecker",
    "GateChecker",
    "JsonChecker",
    "Limits",
    "MathChecker",
    "NumberChecker",
    "WeightedChecker",
]
