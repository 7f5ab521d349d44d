"""Rewards by judges who are asked about single replies: grades and rubrics."""

from typing import Literal

from fairlead.judges.direct import DirectJudge, DirectSettings
from fairlead.judges.reward import JudgedReward
from fairlead.judges.rubric import Rubric, RubricJudge
from fairlead.pipeline.respondents import AnyRespondent
from fairlead.pipeline.rewards.base import RewardSpec, Setting
from fairlead.rewards.base import RewardSource


class GradeReward(RewardSpec):
    """A model grades each reply (direct AI feedback): from -1 to 1.

    Lee et al. 2023, arXiv:2309.00267, section 3.2.2.
    """

    kind: Literal["grade"] = "grade"
    judge: AnyRespondent
    """Who grades: a model in this process, or one behind a server."""
    grading: DirectSettings = DirectSettings()
    """What about, and on which scale."""

    def source(self, setting: Setting) -> RewardSource:
        """Loads or connects the judge."""
        seed = setting.seed.child("grade")
        respondent = self.judge.respondent(setting.context, None, seed)
        return JudgedReward(DirectJudge(respondent, self.grading, seed=seed))

    def references(self) -> list[str]:
        """The judge's model."""
        return self.judge.references()


class RubricReward(RewardSpec):
    """Propositions about each reply, checked by code or put to a model: from -1 to 1."""

    kind: Literal["rubric"] = "rubric"
    rubric: Rubric
    """The propositions and their weights."""
    judge: AnyRespondent | None = None
    """Who decides those that code cannot check."""

    def source(self, setting: Setting) -> RewardSource:
        """Loads or connects the judge, where one is needed."""
        seed = setting.seed.child("rubric")
        judge = self.judge
        respondent = judge and judge.respondent(setting.context, None, seed)
        return JudgedReward(RubricJudge(self.rubric, respondent, seed=seed))

    def references(self) -> list[str]:
        """The judge's model."""
        return self.judge.references() if self.judge else []
