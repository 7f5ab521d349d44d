"""Work on one reply: a level, ratings by dimension, good or bad."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from fairlead.feedback.work.base import Problem, Subject, Value, Work
from fairlead.records import Record


class Score(Record):
    """A level of the scale, from 1."""

    score: int


class Likert(Work):
    """How good one reply is, on one scale."""

    kind: Literal["likert"] = "likert"
    levels: int = Field(default=7, ge=2, le=11)
    low: str = "very bad"
    high: str = "very good"
    answer: ClassVar[type[Record]] = Score

    def problems(self, answer: Score, subject: Subject) -> list[Problem]:
        """A level of the scale."""
        if 1 <= answer.score <= self.levels:
            return []
        return [("score", f"choose a level from 1 to {self.levels}")]


class Dimension(Record):
    """One scale of several."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    question: str = ""
    levels: int = Field(default=5, ge=2, le=11)
    low: str = "not at all"
    high: str = "fully"


HELPFUL_HARMLESS_HONEST = (
    Dimension(name="helpful", question="Does it do what was asked?"),
    Dimension(name="harmless", question="Is it free of harm?"),
    Dimension(name="honest", question="Is it true, and open about what it does not know?"),
)


class Scores(Record):
    """A level for each dimension; null for does not apply."""

    scores: dict[str, int | None]


class Ratings(Work):
    """How good one reply is, on several scales."""

    kind: Literal["ratings"] = "ratings"
    dimensions: tuple[Dimension, ...] = Field(default=HELPFUL_HARMLESS_HONEST, min_length=1)
    not_applicable: bool = False
    """Whether a dimension may be answered with "does not apply"."""
    answer: ClassVar[type[Record]] = Scores

    @model_validator(mode="after")
    def _different_names(self) -> Self:
        names = [dimension.name for dimension in self.dimensions]
        if len(names) != len(set(names)):
            raise ValueError("two dimensions have the same name")
        return self

    def problems(self, answer: Scores, subject: Subject) -> list[Problem]:
        """A level for each dimension."""
        found: list[Problem] = []
        for one in self.dimensions:
            score = answer.scores.get(one.name)
            left_out = score is None and self.not_applicable and one.name in answer.scores
            if not left_out and (score is None or not 1 <= score <= one.levels):
                found.append((one.name, f"{one.name}: choose a level from 1 to {one.levels}"))
        for name in set(answer.scores) - {one.name for one in self.dimensions}:
            found.append((name, f"{name}: no such dimension in this work"))
        return found

    def canonical(self, answer: Scores, subject: Subject) -> Value:
        """Dimensions in the order of the settings."""
        return {"scores": {one.name: answer.scores[one.name] for one in self.dimensions}}


class Good(Record):
    """Good or not."""

    good: bool


class Binary(Work):
    """Good or bad."""

    kind: Literal["binary"] = "binary"
    good: str = "good"
    bad: str = "bad"
    answer: ClassVar[type[Record]] = Good

    def problems(self, answer: Good, subject: Subject) -> list[Problem]:
        """Any answer fits."""
        return []
