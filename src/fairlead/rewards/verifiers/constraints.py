"""Checks instructions that can be counted. Zhou et al. 2023 (IFEval), arXiv:2311.07911."""

import re
from collections.abc import Callable
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fairlead.core.errors import DataError
from fairlead.records import Problem
from fairlead.rewards.verifiers.base import NO_ANSWER, Checked, Checker

BULLET = re.compile(r"^[ \t]*(?:[-*•]|[0-9]{1,4}[.)])[ \t]+\S", re.M)


class Constraints(BaseModel):
    """What a reply must be like. Every field that is set is one constraint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_words: int | None = Field(default=None, ge=1)
    """Fewest words: what stands between blanks and has a letter or digit in it."""
    max_words: int | None = Field(default=None, ge=1)
    """Most words."""
    must_contain: tuple[str, ...] = ()
    """Words or phrases that must occur, as whole words, without regard to capitals; each is one
    constraint."""
    must_not_contain: tuple[str, ...] = ()
    """Words or phrases that must not occur; each is one constraint."""
    bullets: int | None = Field(default=None, ge=0)
    """Number of bullet points: lines that begin with -, *, • or a number."""
    starts_with: str | None = None
    """First words, capitals as given."""
    ends_with: str | None = None
    """Last words, capitals and full stop as given."""

    @model_validator(mode="after")
    def _something_to_check(self) -> Self:
        if not self.outcomes("a"):
            raise ValueError("no constraint is set")
        if self.min_words and self.max_words and self.min_words > self.max_words:
            raise ValueError("min_words is above max_words: no reply can satisfy both")
        return self

    def outcomes(self, text: str) -> dict[str, bool]:
        """Whether each constraint holds, by its name."""
        text = text.strip()
        words = sum(any(map(str.isalnum, word)) for word in text.split())
        tests: dict[str, tuple[object, Callable[[], bool]]] = {
            "min_words": (self.min_words, lambda: words >= (self.min_words or 0)),
            "max_words": (self.max_words, lambda: words <= (self.max_words or 0)),
            "bullets": (self.bullets, lambda: len(BULLET.findall(text)) == self.bullets),
            "starts_with": (self.starts_with, lambda: text.startswith(self.starts_with or "")),
            "ends_with": (self.ends_with, lambda: text.endswith(self.ends_with or "")),
        }
        found = {name: test() for name, (wanted, test) in tests.items() if wanted is not None}
        found |= {f"must_contain {w}": _contains(text, w) for w in self.must_contain}
        return found | {
            f"must_not_contain {w}": not _contains(text, w) for w in self.must_not_contain
        }


class ConstraintsChecker(Checker):
    """Checks instructions on length, words and layout."""

    kind: Literal["constraints"] = "constraints"
    constraints: Constraints | None = None
    """What to check; None takes it from `Problem.answer`, as JSON with the same names."""
    score: Literal["share", "all"] = "share"
    """The share of constraints that hold, or 1 only where all hold."""

    def check(self, problem: Problem, text: str) -> Checked:
        """Checks a reply; an empty one satisfies nothing, short as it is and without a wrong word.

        Raises:
            DataError: the problem's answer holds no constraints.
        """
        constraints = self.constraints or _read(problem.answer)
        inside = self.answer_in(text)
        if inside is None or not inside.strip():
            return NO_ANSWER
        outcomes = constraints.outcomes(inside)
        unmet = [name for name, holds in outcomes.items() if not holds]
        if not unmet:
            return Checked(1.0, inside.strip(), "correct")
        share = 1 - len(unmet) / len(outcomes)
        score = share if self.score == "share" else 0.0
        return Checked(score, inside.strip(), "unmet", "; ".join(unmet))


def _contains(text: str, phrase: str) -> bool:
    pattern = r"\s+".join(map(re.escape, phrase.split()))
    return re.search(rf"(?<!\w){pattern}(?!\w)", text, re.I) is not None


def _read(answer: str) -> Constraints:
    try:
        return Constraints.model_validate_json(answer)
    except ValidationError as error:
        raise DataError(
            "the answer of this problem holds no constraints",
            expected='JSON such as {"max_words": 50, "must_contain": ["tea"]}',
            got=repr(answer[:80]),
            remedy="put them in Problem.answer, or in the checker's `constraints`",
        ) from error
