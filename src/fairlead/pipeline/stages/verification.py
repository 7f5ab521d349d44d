"""Self-trained verification: a verifier learns from itself with the solution at hand."""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.results import Figure, StageResult, Table
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import Lora, load_policy
from fairlead.models.policy import Policy
from fairlead.objectives.self_trained_verification import SelfTrainedVerification
from fairlead.pipeline.measuring import series
from fairlead.pipeline.rewards import AnyReward, Setting, as_spec
from fairlead.pipeline.rounds import kept_value
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.pipeline.verdicts import (
    Attempts,
    Generator,
    Judge,
    Loop,
    VerdictFormat,
    verify_and_revise,
)
from fairlead.records import Problem, Record
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.stats.proportions import clustered_proportion, proportion
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.verdicts import VerdictContext, VerdictSource


class VerificationStage(Stage):
    """Trains a verifier that has no reference solution from problems that have one.

    A generator attempts the problems. The verifier judges attempts without the solution; the same
    model with the solution in its prompt is the teacher on every token that the verifier writes.
    Right verdicts are rewarded besides. Before and after, the verifier is measured on held-out
    attempts, and in a loop in which the generator tries again after a rejection.
    """

    title: ClassVar[str] = SelfTrainedVerification.title
    source: ClassVar[str] = SelfTrainedVerification.source
    equation: ClassVar[str] = SelfTrainedVerification.equation
    choose: ClassVar[str] = SelfTrainedVerification.choose
    methods: ClassVar[tuple[str, ...]] = ("self_trained_verification",)

    kind: Literal["verification"] = "verification"
    model: str | None
    """The policy that becomes the verifier."""
    generator: str | None = None
    """The policy that attempts the problems; None for `model`. It is not trained."""
    data: str
    """Problems with their solutions."""
    test: str
    """Held-out problems."""
    truth: str | AnyReward
    """What says whether an attempt is right."""
    threshold: float = 1.0
    """Score from which an attempt counts as right."""
    objective: SelfTrainedVerification = SelfTrainedVerification()
    """Settings of the objective."""
    format: VerdictFormat = VerdictFormat()
    """How the verifier is asked, and the words of its verdicts."""
    attempts: PositiveInt = 4
    """Attempts of the generator at each problem."""
    samples: PositiveInt = Field(default=4, ge=2)
    """Verdicts sampled on each attempt of a step."""
    train: TrainConfig = TrainConfig()
    """Settings of the loop; a step judges `batch_size` attempts, half of them right."""
    lora: Lora | None = None
    """Train adapters instead of all weights."""
    sampling: Sampling = Sampling(max_new_tokens=256)
    """How attempts are sampled."""
    verdicts: Sampling = Sampling(max_new_tokens=128)
    """How verdicts are sampled; measuring takes the likeliest tokens."""
    test_problems: PositiveInt = 200
    """Held-out problems at most."""
    retries: PositiveInt = 2
    """Verdicts at most in the loop of attempts and rejections."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "generator", "data", "test")

    def references(self) -> list[tuple[str, str]]:
        """What its fields name, and what its reward reads."""
        named_in = [("truth", name) for name in as_spec(self.truth).references()]
        return [*super().references(), *named_in]

    def run(self, context: Context) -> StageResult:
        """Attempts, trains and measures."""
        bench = _Bench(self, context)
        contexts = bench.contexts()
        policy = load_policy(bench.start, lora=self.lora)
        before = bench.measured("start", load_policy(bench.start))
        train(
            policy,
            self.objective,
            bench.source(policy, contexts),
            self.train,
            seed=context.seed,
            run_dir=context.folder,
            resume=context.resume,
        )
        after = bench.measured("trained", policy)
        right = sum(c.right for c in contexts)
        note = f"{len(contexts)} attempts to learn from, {right} of them right; {bench.note}"
        return StageResult(
            estimates=tuple(_estimates(self.name, before, after)),
            figures=(_figure(before, after),),
            tables=(_table(before, after),),
            notes=(note,),
        )


class Verified(BaseModel):
    """How a verifier does on held-out attempts and in the loop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: tuple[int, ...]
    """Problem of each attempt."""
    right: tuple[bool, ...]
    """Whether it is right."""
    accepted: tuple[bool, ...]
    """Whether the verdict accepts it."""
    unread: int
    """Verdicts without either word; they count as rejections."""
    loop: Loop

    @property
    def true(self) -> list[bool]:
        """Whether each verdict is true."""
        return [a == r for a, r in zip(self.accepted, self.right, strict=True)]


class _Told(NamedTuple):
    """An attempt that the verifier learns from."""

    problem: Problem
    text: str
    right: bool


class _Bench:
    """Problems, generator and truth, and the files that keep what they found."""

    def __init__(self, stage: VerificationStage, context: Context) -> None:
        self.stage = stage
        self.context = context
        self.start = context.model(require_path(stage.model, "model.path"))
        policy = load_policy(context.model(stage.generator) if stage.generator else self.start)
        self.train = _problems(context.records(stage.data), stage.data)
        self.test = _problems(context.records(stage.test), stage.test)[: stage.test_problems]
        setting = Setting.asking(
            [*self.train, *self.test],
            context=context,
            policy=policy,
            sampling=stage.sampling,
            seed=context.seed.child("truth"),
        )
        truth = as_spec(stage.truth).source(setting)
        self.generator = Generator(policy, stage.sampling, truth, stage.threshold)
        self.note = f"{len(self.train)} problems, {len(self.test)} held out"

    def contexts(self) -> list[_Told]:
        """Attempts at the training problems."""
        own = self._attempts("train", self.train)
        return [_Told(self.train[a.place], a.text, a.right) for a in own.made]

    def _attempts(self, part: str, problems: Sequence[Problem]) -> Attempts:
        def make() -> Attempts:
            seed = self.context.seed.child("attempts", part)
            made = self.generator.solve(problems, self.stage.attempts, seed)
            return Attempts(made=tuple(attempt for own in made for attempt in own))

        return kept_value(self.context.folder / f"attempts-{part}.json", Attempts, make)

    def source(self, policy: Policy, told: Sequence[_Told]) -> VerdictSource:
        """Where the steps come from; attempts that leave no room for a verdict are left out."""
        chat, wording = ChatFormat(policy.tokenizer), self.stage.format
        room = policy.context - self.stage.verdicts.max_new_tokens
        kept: list[_Told] = []
        contexts: list[VerdictContext] = []
        for one in told:
            student = chat.prompt_ids(wording.student_prompt(one.problem, one.text))
            teacher = chat.prompt_ids(wording.teacher_prompt(one.problem, one.text))
            if max(len(student), len(teacher)) <= room:
                kept.append(one)
                contexts.append(VerdictContext(student, teacher, one.right))
        self.note += f"; {len(told) - len(kept)} attempts leave no room for a verdict"

        def reward(index: int, verdict: str) -> float:
            own = kept[index]
            return wording.reward(own.problem, own.text, own.right, verdict)

        return VerdictSource(
            policy,
            engine=LocalEngine(policy),
            contexts=contexts,
            reward=reward,
            samples=self.stage.samples,
            sampling=self.stage.verdicts,
            config=self.stage.train,
            seed=self.context.seed.child("verdicts"),
        )

    def measured(self, label: str, policy: Policy) -> Verified:
        """A verifier on held-out attempts, and in the loop."""
        # Not within `make`, which the first process runs alone.
        attempts = self._attempts("test", self.test)

        def make() -> Verified:
            judge = Judge(policy.eval(), self.stage.format, self.stage.verdicts, seed)
            return self._measure(judge, attempts)

        seed = self.context.seed.child("judge")
        return kept_value(self.context.folder / f"measured-{label}.json", Verified, make)

    def _measure(self, judge: Judge, attempts: Attempts) -> Verified:
        made = attempts.made
        said = judge.verdicts([self.test[a.place] for a in made], [a.text for a in made])
        read = [judge.format.accepts(verdict) for verdict in said]
        seed: Seed = self.context.seed.child("loop")
        loop = verify_and_revise(
            self.generator, judge, self.test, rounds=self.stage.retries, seed=seed
        )
        return Verified(
            place=tuple(a.place for a in made),
            right=tuple(a.right for a in made),
            accepted=tuple(accepts is True for accepts in read),
            unread=sum(accepts is None for accepts in read),
            loop=loop,
        )


def _problems(records: Sequence[Record], reference: str) -> list[Problem]:
    found = [record for record in records if isinstance(record, Problem)]
    if not found:
        raise DataError(
            "a verifier learns from problems with answers, and the data holds none",
            where=reference,
            expected="records of kind Problem",
            remedy="name data with answers",
        )
    return list({problem.prompt.messages: problem for problem in found}.values())


def _estimates(name: str, before: Verified, after: Verified) -> list[NamedEstimate]:
    """Levels of both verifiers, and what training changed; clustered by problem."""
    found: dict[str, Estimate] = {}
    for label, own in (("start", before), ("trained", after)):
        found |= {f"{key}/{label}": value for key, value in _levels(own).items()}
    change = paired_difference(after.true, before.true, clusters=after.place)
    found[f"verdict_accuracy_change/{name}"] = change
    last = paired_difference(after.loop.right[-1], before.loop.right[-1])
    found[f"final_accuracy_change/{name}"] = last
    return [value.named(key) for key, value in found.items()]


def _levels(own: Verified) -> dict[str, Estimate]:
    inflation = np.array(own.accepted, dtype=float) - np.array(own.right, dtype=float)
    found = {
        "verdict_accuracy": clustered_proportion(own.true, own.place),
        "acceptance_rate": clustered_proportion(own.accepted, own.place),
        "score_inflation": mean_estimate(inflation, clusters=own.place),
    }
    taken = [i for i, accepted in enumerate(own.accepted) if accepted]
    if taken:
        right, place = [own.right[i] for i in taken], [own.place[i] for i in taken]
        found["acceptance_precision"] = clustered_proportion(right, place)
    for number, right in enumerate(own.loop.right):
        found[f"accuracy_after_{number}_verdicts"] = proportion(sum(right), len(right))
    for number, accepted in enumerate(own.loop.accepted, start=1):
        found[f"accepted_by_verdict_{number}"] = proportion(sum(accepted), len(accepted))
    first, last = own.loop.right[0], own.loop.right[-1]
    return found | {"loop_gain": paired_difference(last, first)}


def _figure(before: Verified, after: Verified) -> Figure:
    return Figure(
        title="Attempts, verdicts and further attempts",
        x_label="verdicts so far",
        y_label="share of held-out problems solved",
        series=tuple(
            series(label, [proportion(sum(right), len(right)) for right in own.loop.right])
            for label, own in (("untrained verifier", before), ("trained verifier", after))
        ),
        caption="A rejected attempt is tried again. Bands are 95 % intervals over problems.",
    )


def _table(before: Verified, after: Verified) -> Table:
    rows = tuple(
        (
            label,
            float(np.mean(own.true)),
            float(np.mean(own.accepted)),
            float(np.mean(own.right)),
            own.unread,
            *(float(np.mean(right)) for right in own.loop.right),
        )
        for label, own in (("start", before), ("trained", after))
    )
    rounds = tuple(f"solved after {n} verdicts" for n in range(len(after.loop.right)))
    columns = ("verifier", "verdict accuracy", "accepted", "right", "unreadable verdicts", *rounds)
    return Table(title="Verifiers on held-out attempts", columns=columns, rows=rows)
