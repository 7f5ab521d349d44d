"""What did the model unlearn? The price of alignment, task by task.

Both models answer the same problems, checked by rule, and the same questions with choices. Each
task has a paired gate with flips in both directions, since equal accuracies may hide that other
items are right now. Tasks are a family: one of them fails only where its adjusted p-value finds
harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, model_validator

from fairlead.audits.base import Audit, Model, Subject
from fairlead.audits.items.choices import asked as lettered
from fairlead.audits.items.drawing import drawn
from fairlead.audits.items.multiple_choice import ChoiceItem, read_choices
from fairlead.audits.items.own.questions import choices_of, own_questions
from fairlead.audits.items.reading import Items
from fairlead.core.errors import DataError
from fairlead.core.estimates import NamedEstimate
from fairlead.core.gates import LEVEL, Gate
from fairlead.core.results import Finding, Passage, Table
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, encode
from fairlead.generation.local import evaluating
from fairlead.judges.asking import Answer, Question
from fairlead.models.policy import Policy
from fairlead.models.reference import sequence_logps
from fairlead.records import Comparison, Demonstration, Problem, Prompt
from fairlead.rewards.verifiers import AnyChecker
from fairlead.rewards.verifiers.reward import TRUNCATED
from fairlead.stats.arrays import CONFIDENCE
from fairlead.stats.gates import harm_p, paired_change, paired_gate, worst_cases
from fairlead.stats.pooling import pooled
from fairlead.stats.resampling import bootstrap_of_sums
from fairlead.stats.significance import benjamini_hochberg

Floats = NDArray[np.float64]

SHOWN = 10


class _Task(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What the report calls it."""
    data: str
    """File, data set or stage with its items."""
    items: PositiveInt = 1500
    """Items at most, drawn at random; 1,500 decide a margin of 2 points where a tenth differ."""


class ProblemTask(_Task):
    """Problems answered in words and checked by rule."""

    kind: Literal["problems"] = "problems"
    checker: AnyChecker
    """Says whether an answer is right."""
    max_tokens: PositiveInt = 512
    """Longest answer."""
    allow_truncated: bool = False
    """Whether answers that were cut off are checked too; otherwise they are wrong."""


class ChoiceTask(_Task):
    """Questions with choices, answered by the probability of each."""

    kind: Literal["choices"] = "choices"
    data: str = ""
    """File or data set with its items; empty for simple questions of the package's own, which show
    what was lost and not what is known."""
    ask: Literal["letters", "words"] = "letters"
    """Choices are listed and a letter is asked for; or each is scored as the reply itself, which
    models that follow no instructions need."""


Task = Annotated[ProblemTask | ChoiceTask, Field(discriminator="kind")]


@dataclass(frozen=True)
class _Taken:
    """How both models did on a task."""

    task: str
    prompts: list[str]
    answers: tuple[list[str], list[str]]
    """The candidate's and the baseline's, in words."""
    harms: tuple[Floats, Floats]
    """1 for wrong, 0 for right, nan where no answer came."""
    states: list[str]
    notes: tuple[str, ...]


class Capability(Audit):
    """Accuracy lost on tasks that training was not about."""

    kind: Literal["capability"] = "capability"
    tasks: tuple[Task, ...] = Field(min_length=1)
    """Fixed beforehand; three or more of different kinds say more than one."""
    held_out: str = ""
    """Demonstrations or comparisons whose replies neither model has seen, for perplexity."""
    held_out_items: PositiveInt = 300
    """Of these at most, drawn at random."""
    margin: NonNegativeFloat = Field(default=0.02, le=1)
    """Largest loss of accuracy that is accepted, on each task."""
    file_fields: ClassVar[tuple[str, ...]] = ("data", "held_out")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"tasks need names that differ, got {', '.join(names)}")
        return self

    @property
    def data(self) -> tuple[str, ...]:
        """Data of all tasks."""
        return tuple(task.data for task in self.tasks if task.data)

    def run(self, subject: Subject) -> Finding:
        """Asks both models every task."""
        seed = subject.seed.child(self.title)
        taken = [_taken(task, subject, seed.child(task.name)) for task in self.tasks]
        gates = self._gates(taken)
        estimates: list[NamedEstimate] = []
        if len(taken) > 1:
            changes = [paired_change(*worst_cases(*t.harms), level=CONFIDENCE) for t in taken]
            whole = pooled(changes, level=CONFIDENCE)
            estimates.append(whole.named("accuracy lost, all tasks"))
        perplexity, notes = self._perplexity(subject, seed)
        return Finding(
            audit=self.title,
            question="Which abilities did the model lose?",
            gates=gates,
            estimates=(*estimates, *perplexity),
            tables=(_flips(taken, gates),),
            passages=tuple(p for t, g in zip(taken, gates, strict=True) for p in _worst(g.name, t)),
            notes=(*(note for t in taken for note in t.notes), *notes),
            source="paired comparison: Miller 2024, arXiv:2411.00640; McNemar 1947",
        )

    def _gates(self, taken: Sequence[_Taken]) -> tuple[Gate, ...]:
        changes = [paired_change(*worst_cases(*t.harms)) for t in taken]
        family = benjamini_hochberg([harm_p(change) for change in changes])
        return tuple(
            paired_gate(
                f"{self.title}/{t.task}",
                "share of wrong answers",
                *t.harms,
                self.margin,
                states=t.states,
                hard=self.hard,
                adjusted_p=float(p) if len(taken) > 1 else None,
            )
            for t, p in zip(taken, family, strict=True)
        )

    def _perplexity(
        self, subject: Subject, seed: Seed
    ) -> tuple[list[NamedEstimate], tuple[str, ...]]:
        if not self.held_out:
            return [], ()
        ours, theirs = subject.candidate.policy, subject.baseline.policy
        if ours is None or theirs is None:
            return [], ("No perplexity: a model is behind a server.",)
        records = subject.records(self.held_out)
        shown = [text for record in records if (text := _demonstrated(record))]
        if len(shown) < 2:
            raise DataError(
                "no replies for perplexity",
                where=self.held_out,
                expected="at least two demonstrations or comparisons",
                got=f"{len(shown)} among {len(records)} records",
            )
        seed = seed.child("held out")
        return _surprise(drawn(shown, self.held_out_items, seed), ours, theirs, seed)


# Tasks


def _taken(task: ProblemTask | ChoiceTask, subject: Subject, seed: Seed) -> _Taken:
    match task:
        case ProblemTask():
            return _problems(task, subject, seed)
        case ChoiceTask():
            return _choices(task, subject, seed)


def _problems(task: ProblemTask, subject: Subject, seed: Seed) -> _Taken:
    records = subject.records(task.data)
    problems = [record for record in records if isinstance(record, Problem)]
    if not problems:
        raise DataError(
            "a task without problems",
            where=task.data,
            expected="records with an answer, such as gsm8k's",
            got=f"{len(records)} records of other kinds",
            remedy="name a file of problems, or make it a task of kind choices",
        )
    chosen = drawn(problems, task.items, seed)
    questions = [Question(prompt=p.prompt, max_tokens=task.max_tokens) for p in chosen]
    both = [model.ask(questions) for model in (subject.candidate, subject.baseline)]
    cut = [sum(answer.state == "truncated" for answer in answers) for answers in both]
    notes: tuple[str, ...] = ()
    if any(cut):
        meaning = "checked as they stand" if task.allow_truncated else "counted as wrong"
        notes = (f"{task.name}: cut off and {meaning}: candidate {cut[0]}, baseline {cut[1]}.",)
    ours, theirs = (
        np.array([_wrong(task, p, a) for p, a in zip(chosen, answers, strict=True)])
        for answers in both
    )
    return _Taken(
        task=task.name,
        prompts=[p.prompt.messages[-1].content for p in chosen],
        answers=([a.text for a in both[0]], [a.text for a in both[1]]),
        harms=(ours, theirs),
        states=["scored" if a.state == "truncated" else a.state for own in both for a in own],
        notes=notes,
    )


def _wrong(task: ProblemTask, problem: Problem, answer: Answer) -> float:
    if answer.state not in ("scored", "truncated"):
        return float("nan")
    if answer.state == "truncated" and not task.allow_truncated:
        return 1 - TRUNCATED.score
    # Partial credit is no right answer.
    return float(task.checker.check(problem, answer.text).score < 1)


def _choices(task: ChoiceTask, subject: Subject, seed: Seed) -> _Taken:
    read = read_choices(subject.locate(task.data)) if task.data else Items(_own(), ())
    items = drawn(read.items, task.items, seed)
    questions = [_asked(task, item) for item in items]
    ours, theirs = (_chosen(model, questions) for model in (subject.candidate, subject.baseline))
    return _Taken(
        task=task.name,
        prompts=[item.question for item in items],
        answers=(_named(items, ours[0]), _named(items, theirs[0])),
        harms=(_missed(items, ours[0]), _missed(items, theirs[0])),
        states=[*ours[1], *theirs[1]],
        notes=read.notes,
    )


def _own() -> tuple[ChoiceItem, ...]:
    found: list[ChoiceItem] = []
    for number, question in enumerate(own_questions()):
        choices = choices_of(number, question)
        right = choices.index(question.right[0])
        found.append(ChoiceItem(question.question, choices, right, question.subset))
    return tuple(found)


def _asked(task: ChoiceTask, item: ChoiceItem) -> Question:
    if task.ask == "letters":
        return lettered(item.question, item.choices)
    return Question(prompt=Prompt.of(item.question), options=item.choices)


def _chosen(model: Model, questions: Sequence[Question]) -> tuple[list[int | None], list[str]]:
    """The likeliest choice of each question, None where there is no answer; and the states."""
    answers = model.ask(questions)
    scored = [answer.state == "scored" for answer in answers]
    places = [
        int(np.argmax(a.probabilities)) if ok else None
        for a, ok in zip(answers, scored, strict=True)
    ]
    return places, [answer.state for answer in answers]


def _named(items: Sequence[ChoiceItem], places: Sequence[int | None]) -> list[str]:
    return ["" if p is None else i.choices[p] for i, p in zip(items, places, strict=True)]


def _missed(items: Sequence[ChoiceItem], places: Sequence[int | None]) -> Floats:
    pairs = zip(items, places, strict=True)
    return np.array([np.nan if p is None else float(p != item.right) for item, p in pairs])


# Held-out text


def _surprise(
    shown: Sequence[Demonstration], ours: Policy, theirs: Policy, seed: Seed
) -> tuple[list[NamedEstimate], tuple[str, ...]]:
    """Perplexity of both per token of their own, and nats that a character costs more now.

    Characters are the same to every tokenizer.
    """
    one, other = _nats(ours, shown), _nats(theirs, shown)
    both = sorted(one.keys() & other.keys())
    rows = np.array([(*one[i], *other[i], len(shown[i].response)) for i in both], dtype=float)
    made: dict[str, Any] = {
        "perplexity of held-out replies, candidate": lambda s: np.exp(s[..., 0] / s[..., 1]),
        "perplexity of held-out replies, baseline": lambda s: np.exp(s[..., 2] / s[..., 3]),
        "nats more per held-out character": lambda s: (s[..., 0] - s[..., 2]) / s[..., 4],
    }
    estimates = [
        bootstrap_of_sums(statistic, rows, seed=seed.child(label)).named(label)
        for label, statistic in made.items()
    ]
    left = len(shown) - len(both)
    note = f"{left} held-out replies are too long for a model and were left out."
    return estimates, (note,) if left else ()


def _demonstrated(record: Any) -> Demonstration | None:
    if isinstance(record, Comparison):
        record = Demonstration(prompt=record.prompt, response=record.chosen)
    return record if isinstance(record, Demonstration) and record.response else None


def _nats(policy: Policy, shown: Sequence[Demonstration]) -> dict[int, tuple[float, int]]:
    """By record: nats of the reply, and its tokens."""
    items, _ = encode(shown, ChatFormat(policy.tokenizer), max_length=policy.context)
    with evaluating(policy.model):
        sums = sequence_logps(policy, items, tokens=8192)
    pairs = zip(items, sums, strict=True)
    return {item.record: (-own[0], len(item.responses[0])) for item, own in pairs}


# What is shown


def _flips(taken: Sequence[_Taken], gates: Sequence[Gate]) -> Table:
    rows: list[tuple[Any, ...]] = []
    for one, decided in zip(taken, gates, strict=True):
        change, flips = decided.change, decided.flips
        assert flips is not None, "answers are right or wrong"
        ours, theirs = worst_cases(*one.harms)
        rows.append(
            (
                one.task,
                len(ours),
                1 - float(theirs.mean()),
                1 - float(ours.mean()),
                -change.value,
                -change.high,
                -change.low,
                flips.worse,
                flips.better,
                flips.p,
            )
        )
    return Table(
        title=f"Accuracy by task, change with {LEVEL:.0%} interval",
        columns=(
            "task",
            "items",
            "baseline",
            "candidate",
            "change",
            "low",
            "high",
            "right to wrong",
            "wrong to right",
            "McNemar's p",
        ),
        rows=tuple(rows),
    )


def _worst(about: str, taken: _Taken) -> tuple[Passage, ...]:
    """Items that only the baseline has right."""
    lost = np.flatnonzero((taken.harms[0] == 1) & (taken.harms[1] == 0))[:SHOWN]
    return tuple(
        Passage(
            about=about,
            prompt=taken.prompts[i],
            baseline=taken.answers[1][i],
            candidate=taken.answers[0][i],
            note="right before, wrong now",
        )
        for i in lost
    )
