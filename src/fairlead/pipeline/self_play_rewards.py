"""Rewards of challenger and solver, each of which the other and the judge have a part in.

SCOPE: Kwan et al. 2026, arXiv:2605.31433.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.functional.self_play import challenger_rewards, length_factor, solver_rewards
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.pipeline.sampling import fitting, sample_texts
from fairlead.pipeline.task_worlds import TaskWorld, majority
from fairlead.records import Prompt
from fairlead.rewards.base import Reply, Scored


class SelfPlayRules(BaseModel):
    """How tasks and solutions are judged and what they are worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: float = Field(default=0.5, gt=0, lt=1)
    """Success of the solver at which a task is worth most."""
    format_weight: NonNegativeFloat = 0.5
    """Worth of a task, or of an answer, of the right form."""
    votes: PositiveInt = 8
    """Replies of the frozen judge to a task; what it says most often counts as right."""
    coverage: float = Field(default=0.5, ge=0, le=1)
    """Share of the judge's replies that must give an answer, or else the task is refused."""
    tries: PositiveInt = 8
    """Replies of the solver from which its success at a task is told."""
    free_tokens: PositiveInt = 1024
    """Length of a solution that costs nothing."""
    limit_tokens: PositiveInt = 2048
    """Length from which a right solution is worth no less than `floor`."""
    floor: float = Field(default=0.05, ge=0, le=1)
    """What is left of a right solution that is too long."""


@dataclass(frozen=True)
class Referee:
    """The judge and the present solver, asked about tasks."""

    world: TaskWorld
    judge: Policy
    solver: Policy
    sampling: Sampling
    rules: SelfPlayRules
    seed: Seed

    def judged(self, tasks: Sequence[Prompt]) -> list[str | None]:
        """What the judge holds for right; None for a task that it refuses or that is too long."""
        room = {p.messages for p in fitting(self.judge, tasks, self.sampling)} if tasks else set()
        asked = [task for task in tasks if task.messages in room]
        found = majority(
            self.world,
            self.judge,
            asked,
            self.sampling,
            votes=self.rules.votes,
            coverage=self.rules.coverage,
            seed=self.seed.child("judge"),
        )
        known = {task.messages: answer for task, answer in zip(asked, found, strict=True)}
        return [known.get(task.messages) for task in tasks]

    def success(self, tasks: Sequence[Prompt], right: Sequence[str]) -> list[float]:
        """Share of the solver's replies that agree with the judge."""
        if not tasks:
            return []
        seed, tries = self.seed.child("solver"), self.rules.tries
        texts = sample_texts(self.solver, tasks, self.sampling, n=tries, seed=seed)
        return [
            sum(self.world.answer(task, text) == answer for text in own) / tries
            for task, answer, own in zip(tasks, right, texts, strict=True)
        ]


@dataclass(frozen=True)
class ChallengerReward:
    """Worth of a challenger's text: that it is a task, and one of the right difficulty.

    The nearer the solver's success comes to the target, the better.
    """

    referee: Referee
    name: str = "challenger"

    def score(self, replies: Sequence[Reply]) -> Scored:
        """Reads the tasks, has them answered by judge and solver, and grades them."""
        tasks = [self.referee.world.task(reply.prompt, reply.text) for reply in replies]
        distinct = list({task.messages: task for task in tasks if task is not None}.values())
        verdicts = self.referee.judged(distinct)
        judged = [(task, v) for task, v in zip(distinct, verdicts, strict=True) if v is not None]
        success = self.referee.success([task for task, _ in judged], [v for _, v in judged])
        known = {task.messages: s for (task, _), s in zip(judged, success, strict=True)}
        passed = [task is not None and task.messages in known for task in tasks]
        share = [known.get(task.messages, 0.0) if task is not None else 0.0 for task in tasks]
        formed, solved = torch.tensor(passed).float(), torch.tensor(share)
        rules = self.referee.rules
        values = challenger_rewards(
            formed, solved, target=rules.target, format_weight=rules.format_weight
        )
        return Scored(values.float(), {"gates_passed": formed, "solver_success": solved})


@dataclass(frozen=True)
class SolverReward:
    """Worth of a solution: its form, and whether it agrees with the judge, by its length."""

    world: TaskWorld
    rules: SelfPlayRules
    right: dict[Prompt, str] = field(default_factory=dict[Prompt, str])
    """What the judge holds for right in each task."""
    name: str = "solver"

    def score(self, replies: Sequence[Reply]) -> Scored:
        """Compares each answer with the judge's."""
        given = [self.world.answer(reply.prompt, reply.text) for reply in replies]
        formed = torch.tensor([answer is not None for answer in given]).float()
        agree = [a == self.right[r.prompt] for a, r in zip(given, replies, strict=True)]
        accuracy: Tensor = torch.tensor(agree).float()
        factor = length_factor(
            torch.tensor([len(reply.response_ids) for reply in replies]),
            free=self.rules.free_tokens,
            limit=self.rules.limit_tokens,
            floor=self.rules.floor,
        )
        values = solver_rewards(formed, accuracy, factor, format_weight=self.rules.format_weight)
        return Scored(values.float(), {"well_formed": formed, "accuracy": accuracy})
