"""Samples once, then chooses the answer in every way and for every number of samples."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from fairlead.core.errors import DataError
from fairlead.core.files import write_json
from fairlead.core.results import StageResult
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy
from fairlead.models.policy import Policy
from fairlead.pipeline.choosing import (
    MAJORITY,
    ORACLE,
    Judged,
    choice_figure,
    choice_table,
    choose,
    gain_estimates,
    level_estimates,
)
from fairlead.pipeline.measuring import Asked, answers, asked_of, score, with_room
from fairlead.pipeline.rewards import AnyReward, Setting, as_spec
from fairlead.pipeline.stage import Context, Stage
from fairlead.records import Problem
from fairlead.rewards.base import Reply
from fairlead.rewards.verifiers import AnyChecker
from fairlead.rewards.verifiers.reward import check_all

WORKERS = 4


class BestOfStage(Stage):
    """Best-of-n by several rewards, majority vote, and the most that any choice could reach.

    All choose among the same samples. For n below `samples` the expectation over all choices of n
    is taken, not one draw. `chosen.json` has every problem's share of right answers.
    """

    kind: Literal["best_of"] = "best_of"
    policy: str
    """Who answers."""
    data: str
    """Problems that no stage trained on."""
    checker: AnyChecker
    """Says which samples are right, and reads their answers for the vote."""
    rewards: dict[str, str | AnyReward] = Field(min_length=1)
    """What chooses, by name: reward models, or any other reward by its `kind`."""
    weigh: tuple[str, ...] = ()
    """Those of the rewards whose scores, none of them below 0, also weigh votes."""
    baseline: str = MAJORITY
    """What the others are compared with: "majority" or one of the rewards."""
    samples: PositiveInt = Field(default=32, ge=2)
    """Replies per problem."""
    sizes: tuple[PositiveInt, ...] = (1, 2, 4, 8, 16, 32)
    """Numbers of samples to choose from, none above `samples`."""
    problems: PositiveInt = 300
    """Problems at most."""
    sampling: Sampling = Sampling(max_new_tokens=64)
    """How replies are sampled."""
    allow_other_base: bool = False
    """Use reward models that were trained for another base model."""
    file_fields: ClassVar[tuple[str, ...]] = ("policy", "data")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.sizes or max(self.sizes) > self.samples:
            raise ValueError(f"sizes must be given, and none above samples ({self.samples})")
        if unknown := {self.baseline, *self.weigh} - {MAJORITY, *self.rewards}:
            raise ValueError(f"no reward is called {', '.join(sorted(unknown))}")
        if taken := {MAJORITY, ORACLE} & {*self.rewards}:
            raise ValueError(f"a reward cannot be called {', '.join(sorted(taken))}")
        return self

    def references(self) -> list[tuple[str, str]]:
        """(field, name) of everything it reads, the rewards' models among them."""
        named = [
            ("rewards", path) for own in self.rewards.values() for path in as_spec(own).references()
        ]
        return super().references() + named

    def run(self, context: Context) -> StageResult:
        """Samples, judges, and chooses."""
        policy = load_policy(context.model(self.policy)).eval()
        asked = self._asked(context, policy)
        replies = answers(
            policy, asked, self.sampling, n=self.samples, seed=context.seed.child("sample")
        )
        judged = self._judged(context, policy, asked, replies)
        chosen = choose(judged, self.sizes, weigh=self.weigh, seed=context.seed.child("votes"))
        write_json(context.folder / "chosen.json", chosen.model_dump(mode="json"))
        return StageResult(
            estimates=(*level_estimates(chosen), *gain_estimates(chosen, self.baseline)),
            figures=(choice_figure(chosen),),
            tables=(choice_table(chosen),),
            notes=(
                f"{len(asked)} held-out problems, {self.samples} replies each; "
                f"{1 - float((np.array(judged.answers) != '').mean()):.1%} of the replies answer "
                "nothing and have no vote",
            ),
        )

    def _asked(self, context: Context, policy: Policy) -> list[Asked]:
        records = context.records(self.data)
        problems = [record for record in records if isinstance(record, Problem)]
        if not problems:
            raise DataError(
                "the data holds no problems, so nothing says which answer is right",
                where=self.data,
                expected="problems: records with an answer",
                got=f"{len(records)} records",
                remedy="name a file of problems",
            )
        return with_room(policy, asked_of(problems), self.sampling, self.problems)

    def _judged(
        self,
        context: Context,
        policy: Policy,
        asked: Sequence[Asked],
        replies: Sequence[Sequence[Reply]],
    ) -> Judged:
        flat = [reply for own in replies for reply in own]
        checked = check_all(self.checker, flat, workers=WORKERS, allow_truncated=False)
        setting = Setting.asking(
            [one.problem or one.prompt for one in asked],
            context=context,
            policy=policy,
            sampling=self.sampling,
            seed=context.seed.child("reward"),
        )
        setting = replace(setting, allow_other_base=self.allow_other_base)
        sources = {name: as_spec(own).source(setting) for name, own in self.rewards.items()}
        shape = (len(asked), self.samples)
        return Judged(
            right=np.array([float(c.score >= 1) for c in checked]).reshape(shape),
            answers=np.array([c.parsed for c in checked]).reshape(shape).tolist(),
            scores={name: score(source, replies) for name, source in sources.items()},
        )
