"""Samples a policy's solutions and judges their steps: data for process and outcome rewards."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy
from fairlead.models.policy import Policy
from fairlead.pipeline.measuring import answers, asked_of, score, with_room
from fairlead.pipeline.stage import Context, Stage
from fairlead.records import Problem, Rating, StepLabels
from fairlead.records.files import write_records
from fairlead.rewards.base import Reply
from fairlead.rewards.step_labels import Solution, rollout_labels
from fairlead.rewards.verifiers import AnyChecker
from fairlead.rewards.verifiers.reward import VerifierReward
from fairlead.testbeds.arithmetic import ArithmeticWorld


@dataclass(frozen=True)
class Bench:
    """What a judge may use."""

    policy: Policy
    checker: VerifierReward
    sampling: Sampling
    seed: Seed


class StepJudge(BaseModel, ABC):
    """Who says which steps are right."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def __call__(self, replies: Sequence[Reply], bench: Bench) -> list[StepLabels]:
        """Labels of the solutions; those that cannot be judged are left out."""


class WorldJudge(StepJudge):
    """The arithmetic world's own truth: steps up to the first wrong one. Lightman et al. 2023."""

    by: Literal["world"] = "world"

    def __call__(self, replies: Sequence[Reply], bench: Bench) -> list[StepLabels]:
        """Every line is right, wrong (the first that is), or behind an error and not labelled."""
        world = ArithmeticWorld()
        return [world.label_steps(reply.prompt, reply.text) for reply in replies]


class RolloutJudge(StepJudge):
    """The policy itself, which goes on from every step. Wang et al. 2023, arXiv:2312.08935."""

    by: Literal["rollouts"] = "rollouts"
    count: PositiveInt = 8
    """Rollouts from each step."""
    estimate: Literal["hard", "soft"] = "hard"
    """Right where any rollout is right, or the share of them that is."""

    def __call__(self, replies: Sequence[Reply], bench: Bench) -> list[StepLabels]:
        """A probability for every step."""
        solutions = [
            Solution(reply.problem, tuple(line for line in reply.text.split("\n") if line.strip()))
            for reply in replies
            if reply.problem is not None and reply.text.strip()
        ]
        return rollout_labels(
            solutions,
            LocalEngine(bench.policy),
            bench.checker,
            ChatFormat(bench.policy.tokenizer),
            sampling=bench.sampling,
            count=self.count,
            estimate=self.estimate,
            seed=bench.seed,
        ).records


AnyStepJudge = Annotated[WorldJudge | RolloutJudge, Field(discriminator="by")]


class JudgeStepsStage(Stage):
    """Samples solutions and writes what is right in them.

    `train-steps.jsonl` has every step judged, `train-outcomes.jsonl` the same solutions judged by
    their answer alone; `test-steps.jsonl` and `test-outcomes.jsonl` where there are test problems.
    """

    kind: Literal["judge_steps"] = "judge_steps"
    policy: str
    """Whose solutions: usually the policy whose samples the reward model shall choose from."""
    train: str
    """Problems."""
    test: str | None = None
    """Held-out problems."""
    checker: AnyChecker
    """Says which answers are right."""
    judge: AnyStepJudge = RolloutJudge()
    """Who says which steps are right."""
    samples: PositiveInt = 4
    """Solutions per problem; equal ones are judged once."""
    problems: PositiveInt | None = None
    """Problems of each part at most; None for all."""
    sampling: Sampling = Sampling(max_new_tokens=64)
    """How solutions are sampled."""
    file_fields: ClassVar[tuple[str, ...]] = ("policy", "train", "test")

    def run(self, context: Context) -> StageResult:
        """Samples and judges each part."""
        policy = load_policy(context.model(self.policy)).eval()
        parts = {"train": self.train, "test": self.test}
        notes = [self._part(context, policy, part, data) for part, data in parts.items() if data]
        return StageResult(notes=tuple(notes))

    def _part(self, context: Context, policy: Policy, part: str, data: str) -> str:
        seed = context.seed.child(part)
        problems = [r for r in context.records(data) if isinstance(r, Problem)]
        asked = with_room(policy, asked_of(problems), self.sampling, self.problems)
        drawn = answers(policy, asked, self.sampling, n=self.samples, seed=seed.child("sample"))
        distinct = [r for own in drawn for r in {reply.text: reply for reply in own}.values()]
        replies = [reply for reply in distinct if reply.text.strip()]
        checker = VerifierReward(self.checker)
        right = score(checker, [replies])[0] if replies else []
        outcomes = [
            Rating(prompt=reply.prompt, response=reply.text, value=float(value >= 1))
            for reply, value in zip(replies, right, strict=True)
        ]
        bench = Bench(policy, checker, self.sampling, seed.child("judge"))
        steps = self.judge(replies, bench)
        write_records(context.folder / f"{part}-outcomes.jsonl", outcomes)
        write_records(context.folder / f"{part}-steps.jsonl", steps)
        return (
            f"{part}: {len(asked)} problems, {len(outcomes)} solutions, of which "
            f"{sum(o.value for o in outcomes) / max(len(outcomes), 1):.1%} end right; "
            f"{len(asked) * self.samples - len(distinct)} were equal to another, "
            f"{len(distinct) - len(replies)} empty, {len(replies) - len(steps)} could not be judged"
        )
