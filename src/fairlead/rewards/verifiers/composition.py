"""Joins a check of correctness with a check of form.

Guo et al. 2025 (DeepSeek-R1), arXiv:2501.12948: accuracy and format rewards.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from fairlead.core.errors import ConfigError
from fairlead.records import Problem
from fairlead.rewards.verifiers.base import Checked, Checker
from fairlead.rewards.verifiers.constraints import ConstraintsChecker
from fairlead.rewards.verifiers.exact_match import ExactChecker
from fairlead.rewards.verifiers.number import NumberChecker
from fairlead.rewards.verifiers.structure import FormatChecker, JsonChecker
from fairlead.rewards.verifiers.symbolic import MathChecker
from fairlead.rewards.verifiers.unit_tests import CodeChecker

SingleChecker = Annotated[
    ExactChecker
    | NumberChecker
    | MathChecker
    | JsonChecker
    | FormatChecker
    | ConstraintsChecker
    | CodeChecker,
    Field(discriminator="kind"),
]
"""A checker that is made of no others."""
LARGEST_FORMAT_WEIGHT = 0.1
"""Beyond this a policy learns the form at the cost of the content."""


class _Joined(Checker):
    correct: SingleChecker
    """What decides whether the answer is right."""
    format: SingleChecker
    """What decides whether the reply has the wanted form."""

    def _both(self, problem: Problem, text: str) -> tuple[Checked, Checked, dict[str, float]]:
        correct, form = self.correct.check(problem, text), self.format.check(problem, text)
        return correct, form, {"correct": correct.score, "format": form.score}


class WeightedChecker(_Joined):
    """Correctness plus a little for form: (correct + w · format) / (1 + w), at most 1."""

    kind: Literal["weighted"] = "weighted"
    format_weight: float = Field(default=LARGEST_FORMAT_WEIGHT, ge=0)
    """Worth of good form, where a right answer is worth 1; at most 0.1."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if self.format_weight > LARGEST_FORMAT_WEIGHT:
            raise ConfigError(
                "the reward for form may be at most a tenth of the reward for correctness",
                where="format_weight",
                expected=f"at most {LARGEST_FORMAT_WEIGHT}",
                got=str(self.format_weight),
                remedy="lower it, or use a `gate`: then a reply of wrong form is worth nothing",
            )

    def check(self, problem: Problem, text: str) -> Checked:
        """Checks a reply."""
        correct, form, parts = self._both(problem, text)
        score = (correct.score + self.format_weight * form.score) / (1 + self.format_weight)
        return Checked(score, correct.parsed, correct.reason, correct.detail or form.detail, parts)


class GateChecker(_Joined):
    """Correctness of replies that have the wanted form; all others are worth nothing."""

    kind: Literal["gate"] = "gate"

    def check(self, problem: Problem, text: str) -> Checked:
        """Checks a reply."""
        correct, form, parts = self._both(problem, text)
        if form.score < 1:
            return Checked(0.0, correct.parsed, "malformed", form.detail, parts)
        return Checked(correct.score, correct.parsed, correct.reason, correct.detail, parts)
