"""Self-play with a frozen judge: one copy sets tasks, one solves them, one judges."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveInt, field_validator

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.results import StageResult, Table
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, encode_prompts
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy
from fairlead.objectives.grpo import GRPO
from fairlead.pipeline.measuring import (
    Asked,
    Measured,
    asked_of,
    measure,
    round_estimates,
    round_figure,
    round_samples,
    round_table,
    with_room,
)
from fairlead.pipeline.rewards import AnyReward, GoldReward, Setting, as_spec
from fairlead.pipeline.rounds import Round, Trained, kept_value, once, publish
from fairlead.pipeline.sampling import sample_texts
from fairlead.pipeline.self_play_rewards import (
    ChallengerReward,
    Referee,
    SelfPlayRules,
    SolverReward,
)
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.pipeline.task_worlds import ArithmeticTasks
from fairlead.records import Prompt
from fairlead.rewards.base import RewardSource
from fairlead.stats.means import mean_estimate
from fairlead.stats.proportions import proportion
from fairlead.testbeds.arithmetic import Level
from fairlead.training.collecting import Collector
from fairlead.training.config import TrainConfig
from fairlead.training.credit import Group
from fairlead.training.loop import train
from fairlead.training.rollout_config import KLControl, RolloutConfig
from fairlead.training.rollouts import RolloutSource

ROLLOUTS = RolloutConfig(
    prompts=256,
    samples=8,
    iterations=20,
    epochs=1,
    credit=Group(),
    kl=KLControl(coefficient=0.0),
    sampling=Sampling(max_new_tokens=2048),
)
"""How SCOPE samples, where the user says nothing else."""


class SelfPlayStage(Stage):
    """Trains a solver on tasks that a challenger sets, without data and without labels.

    In every round the challenger learns, by GRPO, to set tasks at which the present solver
    succeeds half of the time, where a frozen copy of the first model says what is right. Then it
    sets a number of tasks; those that are neither too easy nor too hard train the solver. The
    stage's model is the solver; challengers lie in `round-1/challenger/`...
    """

    title: ClassVar[str] = "Self-play with a frozen judge (SCOPE)"
    source: ClassVar[str] = "Kwan et al. 2026, arXiv:2605.31433"
    equation: ClassVar[str] = (
        r"r_C = w + \min\Bigl(\tfrac{s}{\tau}, \tfrac{1 - s}{1 - \tau}\Bigr), \quad "
        r"r_S = w + a\,\ell(|y|), \quad s = \mathbb{E}_{y \sim \pi_S} a"
    )
    choose: ClassVar[str] = (
        "Where there are no tasks to train on but a model that can judge them; it cannot come to "
        "know what the judge has wrong."
    )
    methods: ClassVar[tuple[str, ...]] = ("scope",)

    kind: Literal["self_play"] = "self_play"
    model: str | None
    """The policy that challenger, solver and judge start as."""
    world: Literal["arithmetic"] = "arithmetic"
    """Whose tasks are set."""
    levels: tuple[Level, ...] = (1, 2)
    """How hard the tasks are that the challenger is asked for."""
    test: str
    """Held-out problems that every round's solver is measured on."""
    truth: AnyReward = GoldReward(world="arithmetic")
    """What scores the replies to held-out problems."""
    threshold: float = 1.0
    """Score from which a reply counts as right."""
    rounds: PositiveInt = 3
    """How often challenger and solver are trained in turn."""
    rules: SelfPlayRules = SelfPlayRules()
    """How tasks and solutions are judged."""
    requests: PositiveInt = 1024
    """Requests for tasks, which the challenger learns from and then answers."""
    tasks: PositiveInt = 5120
    """Tasks to train the solver on, at most; equal ones count once."""
    band: tuple[float, float] = (0.2, 0.8)
    """Success of the solver between which a task is kept."""
    objective: GRPO = GRPO(clip_low=0.2, clip_high=0.28, beta=1e-3)
    """Settings of the objective, for both."""
    challenger: RolloutConfig = ROLLOUTS
    """How the challenger's tasks are sampled in training."""
    solver: RolloutConfig = ROLLOUTS
    """How the solver's replies are sampled in training; also for measuring and for the judge."""
    train: TrainConfig = TrainConfig(learning_rate=1e-6, schedule="constant")
    """Settings of the loop, for both; its `batch_size` and `epochs` do not apply."""
    tries: PositiveInt = 4
    """Replies per held-out problem, and the k of pass@k."""
    test_problems: PositiveInt = 200
    """Held-out problems at most."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "test")

    @field_validator("challenger", "solver", mode="before")
    @classmethod
    def _over_the_methods_own(cls, value: Any) -> Any:
        """What the user does not set is as in the paper, not as in other stages."""
        return ROLLOUTS.model_dump() | value if isinstance(value, dict) else value

    def references(self) -> list[tuple[str, str]]:
        """What its fields name, and what its reward reads."""
        read = as_spec(self.truth).references()
        return [*super().references(), *(("truth", name) for name in read)]

    def run(self, context: Context) -> StageResult:
        """Trains challenger and solver in turn."""
        play = _Play(self, context)
        challenger = solver = play.start
        measured = [play.measured(Round.of(context, 0), solver)]
        sets: list[TaskSet] = []
        for number in range(1, self.rounds + 1):
            own = Round.of(context, number)
            challenger = play.train_challenger(own, challenger, solver)
            sets.append(play.task_set(own, challenger, solver))
            solver = play.train_solver(own, solver, sets[-1])
            measured.append(play.measured(own, solver))
        publish(Round.of(context, self.rounds), context)
        estimates = round_estimates(self.name, measured, self.threshold)
        for number, found in enumerate(sets, start=1):
            levels = found.levels().items()
            estimates += [value.named(f"{name}/round-{number}") for name, value in levels]
        return StageResult(
            estimates=tuple(estimates),
            figures=(round_figure(measured, self.threshold),),
            tables=(round_table(measured, self.threshold), _table(sets)),
            samples=round_samples(play.test, measured),
            notes=("the judge knows only what the first model knew",),
        )


class TaskSet(BaseModel):
    """The tasks that a round's challenger set; one entry per distinct task that passed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked: int
    """Texts of the challenger."""
    passed: int
    """Those that are tasks and that the judge can answer."""
    tasks: tuple[Prompt, ...]
    judged: tuple[str, ...]
    """What the judge holds for right."""
    success: tuple[float, ...]
    """Share of the solver's replies that agree with the judge."""
    judge_right: tuple[bool, ...]
    """Whether the judge is right, where the truth is known."""
    kept: tuple[int, ...]
    """Places of the tasks that train the solver."""

    def levels(self) -> dict[str, Estimate]:
        """Gates passed, the solver's success (which should stay near the target), the judge."""
        found = {"gates_passed": proportion(self.passed, self.asked)}
        if len(self.tasks) > 1:
            found["solver_success"] = mean_estimate(self.success)
        if self.judge_right:
            found["judge_agreement"] = proportion(sum(self.judge_right), len(self.judge_right))
        return found


class _Play:
    """The parts of a game: the world, the three models' paths, and files that keep what was."""

    def __init__(self, stage: SelfPlayStage, context: Context) -> None:
        self.stage = stage
        self.context = context
        self.world = ArithmeticTasks(stage.levels)
        self.start = context.model(require_path(stage.model, "model.path"))
        self.judge = load_policy(self.start).requires_grad_(False).eval()
        asked = asked_of(context.records(stage.test))
        self.test: list[Asked] = with_room(
            self.judge, asked, stage.solver.sampling, stage.test_problems
        )

    def referee(self, solver: str, seed: Seed) -> Referee:
        """Judge and solver as they are at the beginning of a round."""
        playing = load_policy(solver).requires_grad_(False).eval()
        stage = self.stage
        return Referee(self.world, self.judge, playing, stage.solver.sampling, stage.rules, seed)

    def train_challenger(self, own: Round, path: str, solver: str) -> str:
        """The challenger learns what is neither too easy nor too hard for this solver."""
        part = Round(own.number, own.folder / "challenger", own.seed.child("c"), own.resume)
        requests = self.world.requests(self.stage.requests, own.seed.child("requests"))

        def work() -> Trained:
            reward = ChallengerReward(self.referee(solver, own.seed.child("referee")))
            return self._reinforce(part, path, requests, reward, self.stage.challenger)

        once(part, work)
        return str(part.model)

    def train_solver(self, own: Round, path: str, found: TaskSet) -> str:
        """The solver learns from the tasks that were kept."""
        right = {found.tasks[i]: found.judged[i] for i in found.kept}
        reward = SolverReward(self.world, self.stage.rules, right)
        config = self.stage.solver
        if len(right) < config.prompts:
            config = config.model_copy(update={"prompts": len(right)})

        def work() -> Trained:
            return self._reinforce(own, path, list(right), reward, config)

        once(own, work)
        return str(own.model)

    def _reinforce(
        self,
        own: Round,
        path: str | Path,
        asked: Sequence[Prompt],
        reward: RewardSource,
        config: RolloutConfig,
    ) -> Trained:
        """Group relative policy optimisation against one of the rewards."""
        policy = load_policy(path)
        reference = load_policy(path).requires_grad_(False).eval()
        room = policy.context - config.sampling.max_new_tokens
        prompts, _ = encode_prompts(asked, ChatFormat(policy.tokenizer), max_length=room)
        collector = Collector(
            policy,
            reference=reference,
            engine=LocalEngine(policy),
            reward=reward,
            prompts=prompts,
            records=asked,
            config=config,
            microbatch_tokens=self.stage.train.microbatch_tokens,
            seed=own.seed.child("rollouts"),
        )
        source = RolloutSource(collector, needs=self.stage.objective.needs)
        result = train(
            policy,
            self.stage.objective,
            source,
            self.stage.train,
            seed=own.seed,
            run_dir=own.folder,
            resume=own.resume,
        )
        return Trained(steps=result.steps, note=f"{len(prompts)} prompts")

    def task_set(self, own: Round, challenger: str, solver: str) -> TaskSet:
        """Tasks of the trained challenger at which the solver neither fails nor always succeeds.

        Raises:
            DataError: there is none.
        """

        def make() -> TaskSet:
            return self._set(own, challenger, self.referee(solver, own.seed.child("set")))

        found = kept_value(own.folder / "tasks.json", TaskSet, make)
        if not found.kept:
            raise DataError(
                f"round {own.number}: no task is neither too easy nor too hard",
                where=f"stage {self.stage.name}",
                expected=f"tasks with a success from {self.stage.band[0]} to {self.stage.band[1]}",
                got=f"{found.asked} texts, {found.passed} tasks, {len(found.tasks)} of them "
                "different",
                remedy="widen the band, ask for more tasks, or start from a model that sets tasks "
                "when asked to",
            )
        return found

    def _set(self, own: Round, challenger: str, referee: Referee) -> TaskSet:
        stage = self.stage
        requests = self.world.requests(stage.requests, own.seed.child("requests"))
        per_request = -(-stage.tasks // len(requests))
        texts = sample_texts(
            load_policy(challenger).eval(),
            requests,
            stage.challenger.sampling,
            n=per_request,
            seed=own.seed.child("tasks"),
        )
        every = [
            self.world.task(request, text)
            for request, own_texts in zip(requests, texts, strict=True)
            for text in own_texts
        ]
        distinct = list({task.messages: task for task in every if task is not None}.values())
        verdicts = referee.judged(distinct)
        right = {t: v for t, v in zip(distinct, verdicts, strict=True) if v is not None}
        success = referee.success(list(right), list(right.values()))
        low, high = stage.band
        kept = [i for i, share in enumerate(success) if low <= share <= high]
        known = [(v, self.world.truth(task)) for task, v in right.items()]
        return TaskSet(
            asked=len(every),
            passed=sum(task in right for task in every if task is not None),
            tasks=tuple(right),
            judged=tuple(right.values()),
            success=tuple(success),
            judge_right=tuple(v == truth for v, truth in known if truth is not None),
            kept=tuple(kept[: stage.tasks]),
        )

    def measured(self, own: Round, path: str) -> Measured:
        """How a round's solver does on held-out problems."""
        stage = self.stage

        def make() -> Measured:
            setting = Setting.asking(
                [one.problem or one.prompt for one in self.test],
                context=self.context,
                policy=self.judge,
                sampling=stage.solver.sampling,
                seed=self.context.seed.child("truth"),
            )
            return measure(
                load_policy(path),
                self.test,
                as_spec(stage.truth).source(setting),
                stage.solver.sampling,
                tries=stage.tries,
                seed=self.context.seed.child("measure"),
            )

        return kept_value(own.folder / "measured.json", Measured, make)


def _table(sets: Sequence[TaskSet]) -> Table:
    rows = tuple(
        (
            number,
            found.asked,
            found.passed,
            len(found.tasks),
            len(found.kept),
            float(np.mean(found.success)),
            float(np.mean(found.judge_right)) if found.judge_right else None,
        )
        for number, found in enumerate(sets, start=1)
    )
    columns = ("round", "texts", "tasks", "different", "kept", "solver's success", "judge right")
    return Table(title="Tasks by round", columns=columns, rows=rows)
