"""Replies scored by a list of propositions, each checked by code or put to a judge.

A proposition that code can check needs no judge and has no opinion: length, words, patterns.
"""

import re
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, field_validator, model_validator

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Question, Respondent
from fairlead.judges.refusals import refuses
from fairlead.judges.scoring import NOTHING_SAID, Asked, Score, shown, unvalued
from fairlead.records import Prompt

YES, NO = "yes", "no"


class _Proposition(BaseModel):
    """Something that is true of a reply or not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    """What parts of the score are called."""
    text: str = Field(min_length=1)
    """The proposition in words."""
    weight: float = 1.0
    """How much it counts; negative where the reply should not be so."""

    @field_validator("weight")
    @classmethod
    def _counts(cls, value: float) -> float:
        if value == 0:
            raise ValueError("a proposition of weight 0 decides nothing; leave it out")
        return value


class Rule(_Proposition):
    """A proposition that code checks."""

    @abstractmethod
    def holds(self, reply: str) -> bool:
        """Whether it is true of the reply."""


class AskedProposition(_Proposition):
    """A judge says whether it is true; it counts by its probability."""

    by: Literal["judge"] = "judge"


class Contains(Rule):
    """The reply contains one of these texts."""

    by: Literal["contains"] = "contains"
    any_of: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    case: bool = False
    """Whether capital letters matter."""

    def holds(self, reply: str) -> bool:
        """Whether one of them is there."""
        if self.case:
            return any(text in reply for text in self.any_of)
        return any(text.casefold() in reply.casefold() for text in self.any_of)


class Matches(Rule):
    """A regular expression is found in the reply; `^` and `$` match at its lines."""

    by: Literal["regex"] = "regex"
    pattern: str = Field(min_length=1)

    @field_validator("pattern")
    @classmethod
    def _readable(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    def holds(self, reply: str) -> bool:
        """Whether it is found."""
        return re.search(self.pattern, reply, re.MULTILINE) is not None


class Length(Rule):
    """The reply is neither too short nor too long."""

    by: Literal["length"] = "length"
    unit: Literal["characters", "words"] = "characters"
    least: NonNegativeInt = 0
    most: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.most is None and self.least == 0:
            raise ValueError("no bound is set, so every reply would do")
        if self.most is not None and self.most < self.least:
            raise ValueError(f"most ({self.most}) is less than least ({self.least})")
        return self

    def holds(self, reply: str) -> bool:
        """Whether its length is within the bounds."""
        length = len(reply) if self.unit == "characters" else len(reply.split())
        return self.least <= length and (self.most is None or length <= self.most)


class Refuses(Rule):
    """The reply shows one of the usual phrases of refusing."""

    by: Literal["refusal"] = "refusal"

    def holds(self, reply: str) -> bool:
        """Whether it does."""
        return refuses(reply)


Proposition = Annotated[
    AskedProposition | Contains | Matches | Length | Refuses, Field(discriminator="by")
]


class Rubric(BaseModel):
    """Propositions that make up a score."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    propositions: tuple[Proposition, ...] = Field(min_length=1)
    least_mass: float = Field(default=0.0, ge=0, le=1)
    """Below this probability of yes and no together a judge's answer is not read."""

    @model_validator(mode="after")
    def _different(self) -> Self:
        ids = [one.id for one in self.propositions]
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            raise ValueError(f"propositions with the same id: {', '.join(twice)}")
        return self

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Those that code checks."""
        return tuple(one for one in self.propositions if isinstance(one, Rule))

    @property
    def asked(self) -> tuple[AskedProposition, ...]:
        """Those that a judge is asked about."""
        return tuple(one for one in self.propositions if isinstance(one, AskedProposition))

    def value(self, truths: dict[str, float]) -> float:
        """Weighted sum of truths over the sum of the weights' sizes, from -1 to 1."""
        total = sum(abs(one.weight) for one in self.propositions)
        return sum(one.weight * truths[one.id] for one in self.propositions) / total


class RubricJudge:
    """Scores replies by a rubric.

    Args:
        rubric: the propositions.
        respondent: who is asked those that code cannot check; None where there are none.
        seed: of the fences around texts.
        name: what reports call it.

    Raises:
        ConfigError: a proposition needs a judge and there is none.
    """

    def __init__(
        self,
        rubric: Rubric,
        respondent: Respondent | None = None,
        *,
        seed: Seed,
        name: str = "rubric",
    ) -> None:
        if rubric.asked and respondent is None:
            raise ConfigError(
                "the rubric has propositions that only a judge can decide",
                where=", ".join(one.id for one in rubric.asked),
                expected="a judge",
                got="none",
                remedy="name a judge, or check these propositions by rules",
            )
        self.rubric = rubric
        self.name = name
        self._respondent = respondent
        self._seed = seed.child("rubric")

    def scores(self, asked: Sequence[Asked]) -> list[Score]:
        """A score from -1 to 1 for each reply; its parts are the truths of the propositions.

        Where one proposition could not be decided the reply has no value, and the parts are those
        that could. A judge is not asked about empty replies; rules decide about them as well.
        """
        opinions = self._opinions(asked)
        return [self._score(text, opinions[i]) for i, (_, text) in enumerate(asked)]

    def judge(self, prompt: Prompt, replies: Sequence[str]) -> list[float | None]:
        """Scores of the replies to one prompt; None where there is none."""
        return [score.value for score in self.scores([(prompt, reply) for reply in replies])]

    def _opinions(self, asked: Sequence[Asked]) -> dict[int, dict[str, Score]]:
        """What the judge says, by reply and proposition."""
        opinions: dict[int, dict[str, Score]] = defaultdict(dict)
        cases: list[tuple[int, str]] = []
        questions: list[Question] = []
        for i, (prompt, text) in enumerate(asked):
            for one in self.rubric.asked:
                if not text.strip():
                    opinions[i][one.id] = NOTHING_SAID
                    continue
                cases.append((i, one.id))
                questions.append(self._question(prompt, text, one))
        answers = self._respondent.ask(questions) if self._respondent and questions else []
        for (i, name), answer in zip(cases, answers, strict=True):
            score = unvalued(answer, least_mass=self.rubric.least_mass)
            if score.state == "scored":
                score = replace(score, value=answer.probabilities[0])
            opinions[i][name] = score
        return opinions

    def _question(self, prompt: Prompt, reply: str, proposition: AskedProposition) -> Question:
        asked = f"Is the following true of the reply? {proposition.text}"
        demand = f"{asked}\nAnswer with {YES} or {NO} alone."
        return Question(prompt=shown(prompt, reply, demand, self._seed), options=(YES, NO))

    def _score(self, reply: str, opinions: dict[str, Score]) -> Score:
        truths = {rule.id: float(rule.holds(reply)) for rule in self.rubric.rules}
        truths |= {name: one.value for name, one in opinions.items() if one.value is not None}
        missing = next(((n, one) for n, one in opinions.items() if one.value is None), None)
        masses = [one.mass for one in opinions.values() if one.mass is not None]
        return Score(
            value=None if missing else self.rubric.value(truths),
            state=missing[1].state if missing else "scored",
            parts={one.id: truths[one.id] for one in self.rubric.propositions if one.id in truths},
            mass=min(masses) if masses else None,
            prompt_tokens=sum(one.prompt_tokens for one in opinions.values()),
            completion_tokens=sum(one.completion_tokens for one in opinions.values()),
            detail=f"{missing[0]}: {missing[1].detail}" if missing else "",
        )
