"""A judge that gives one reply a grade: direct AI feedback (d-RLAIF).

Lee et al. 2023, arXiv:2309.00267, section 3.2.2: the grade is the mean of the scale under the
probabilities of its steps, and the reward that mean stretched to run from -1 to 1.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question, Respondent
from fairlead.judges.scoring import NOTHING_SAID, Asked, Score, shown, unvalued
from fairlead.records import Prompt

CRITERION = "How well does the reply serve the user? It should be helpful, honest and harmless."


class DirectSettings(BaseModel):
    """How a reply is graded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str = CRITERION
    """What the grade is about."""
    lowest: int = 1
    highest: int = 9
    """The scale. With grades of one digit each is one token to most models; 10 often is two, and
    begins like 1."""
    least_mass: float = Field(default=0.0, ge=0, le=1)
    """Below this probability of all grades together the judge meant to say something else, and the
    reply is not scored; 0 accepts all, and masses that are not known are accepted."""

    @model_validator(mode="after")
    def _scale(self) -> Self:
        if not 0 <= self.lowest < self.highest <= 9:
            raise ValueError(
                "a scale must rise from 0 or more to 9 or less, so that no grade begins like "
                f"another; got {self.lowest} to {self.highest}"
            )
        return self


class DirectJudge:
    """Grades replies one by one.

    Args:
        respondent: who is asked.
        settings: how.
        seed: of the fences around texts.
        name: what reports call it.
    """

    def __init__(
        self,
        respondent: Respondent,
        settings: DirectSettings | None = None,
        *,
        seed: Seed,
        name: str = "direct_judge",
    ) -> None:
        self.settings = settings or DirectSettings()
        self.name = name
        self._respondent = respondent
        self._seed = seed.child("direct")
        self._grades = range(self.settings.lowest, self.settings.highest + 1)

    def scores(self, asked: Sequence[Asked]) -> list[Score]:
        """A score from -1 to 1 for each reply, with its grade as part; none for empty replies."""
        there = [one for one in asked if one[1].strip()]
        answers = iter(self._respondent.ask([self._question(*one) for one in there]))
        return [self._score(next(answers)) if text.strip() else NOTHING_SAID for _, text in asked]

    def judge(self, prompt: Prompt, replies: Sequence[str]) -> list[float | None]:
        """Scores of the replies to one prompt; None where there is none."""
        return [score.value for score in self.scores([(prompt, reply) for reply in replies])]

    def _question(self, prompt: Prompt, reply: str) -> Question:
        lowest, highest = self.settings.lowest, self.settings.highest
        demand = (
            f"Grade it from {lowest} (worst) to {highest} (best). Answer with the number alone."
        )
        asked = shown(prompt, reply, f"{self.settings.criterion}\n{demand}", self._seed)
        return Question(prompt=asked, options=tuple(map(str, self._grades)))

    def _score(self, answer: Answer) -> Score:
        score = unvalued(answer, least_mass=self.settings.least_mass)
        if score.state != "scored":
            return score
        mean = sum(g * p for g, p in zip(self._grades, answer.probabilities, strict=True))
        middle = (self.settings.lowest + self.settings.highest) / 2
        value = (mean - middle) / (self.settings.highest - middle)
        return replace(score, value=value, parts={"grade": mean})
