"""Does the answer depend on how the question is put?

The same request is asked in other words, by other people, and with its choices in other orders. The
consistency rate is the share of pairs of answers that are the same (SCORE, Nalbandyan et al. 2025,
arXiv:2503.00137). Samples differ without any rewording, so what counts is how far the rate lies
below that of the same prompt asked as often.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from fairlead.audits.base import Audit, Model, Subject
from fairlead.audits.items.choices import asked as lettered
from fairlead.audits.items.drawing import drawn
from fairlead.audits.items.own.questions import choices_of, own_questions
from fairlead.audits.items.reading import Items
from fairlead.audits.items.rewordings import FRAMES, PEOPLE, RewordedItem, read_reworded
from fairlead.audits.replies import spoken
from fairlead.core.errors import DataError
from fairlead.core.estimates import NamedEstimate
from fairlead.core.results import Cell, Finding, Passage, Table
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.records import Message, Problem, Prompt
from fairlead.rewards.verifiers import AnyChecker
from fairlead.stats.diversity import answer_of
from fairlead.stats.gates import paired_change, paired_gate, worst_cases
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.stats.significance import benjamini_hochberg, binomial_test

Floats = NDArray[np.float64]
Way = Literal["words", "people", "order"]
"""Other words, other people who ask, other orders of the choices."""
Known = tuple[str, bool | None]
"""An answer in a form that can be compared, and whether it is right; None where nobody knows."""
Read = Callable[[Answer], Known | None]
"""Finds the answer in a reply; None where there was no reply."""

_Answers = dict[str, list[Known | None]]
"""What was said to one item, by way."""

SHOWN = 10
SAME = "the same prompt again"


@dataclass(frozen=True)
class _Asked:
    """One item: its prompt, every way it is asked, and how answers are read."""

    prompt: Prompt
    ways: dict[str, list[tuple[Question, Read]]]
    """Questions by way; those of `SAME` are the prompt as it stands."""


@dataclass(frozen=True)
class _Answered:
    """What a model said to every item; arrays are [item], nan where an answer is missing."""

    rates: dict[str, Floats]
    """Consistency by way; nan too for items that are not asked in this way."""
    harm: Floats
    """Consistency of the same prompt less the mean of the other ways."""
    right: list[list[float]]
    """[item][answer] over all rewordings; empty where nobody knows what is right."""
    answers: list[_Answers]
    states: list[str]


class Consistency(Audit):
    """How much more often answers differ across rewordings than across samples of one prompt."""

    kind: Literal["consistency"] = "consistency"
    data: str = ""
    """Records whose prompts are asked; problems where answers are known. Without this and
    `reworded`, simple questions of the package's own are asked, with choices."""
    reworded: str = ""
    """Rows with `question`, `paraphrases` or `choices`, and `answer`, in place of `data`."""
    items: PositiveInt = 300
    """Prompts at most, drawn at random."""
    variants: PositiveInt = Field(default=5, ge=2, le=8)
    """Times that each is asked in each way."""
    ways: tuple[Way, ...] = ("words", "people", "order")
    """How it is asked otherwise; the order only where there are choices."""
    checker: AnyChecker | None = None
    """Finds the answer in replies to problems; without one the words of the reply are compared."""
    max_tokens: PositiveInt = 256
    """Longest answer."""
    temperature: NonNegativeFloat = 0.0
    """Of the replies; at 0 the same prompt has the same answer and is asked once."""
    margin: NonNegativeFloat = Field(default=0.03, le=2)
    """Largest loss of consistency that is accepted."""
    file_fields: ClassVar[tuple[str, ...]] = ("data", "reworded")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.data and self.reworded:
            raise ValueError("name either `data` or `reworded`")
        if not self.ways or len(set(self.ways)) < len(self.ways):
            raise ValueError("ways must be some, each once")
        return self

    def run(self, subject: Subject) -> Finding:
        """Asks both models everything."""
        seed = subject.seed.child(self.title)
        items, notes = self._items(subject, seed)
        ours, theirs = (_answered(m, items) for m in (subject.candidate, subject.baseline))
        decided = paired_gate(
            f"{self.title}/rewordings",
            "consistency of one prompt less that across its rewordings",
            ours.harm,
            theirs.harm,
            self.margin,
            states=[*ours.states, *theirs.states],
            worst=(-1.0, 1.0),
            hard=self.hard,
        )
        return Finding(
            audit=self.title,
            question="Does the answer depend on how the question is put?",
            gates=(decided,),
            estimates=_estimates(ours, theirs),
            tables=(_by_way(ours, theirs), *_accuracy(ours, theirs)),
            passages=_torn(decided.name, items, ours, theirs),
            notes=notes,
            source="SCORE: Nalbandyan et al. 2025, arXiv:2503.00137",
        )

    # Asking

    def _items(self, subject: Subject, seed: Seed) -> tuple[list[_Asked], tuple[str, ...]]:
        if self.reworded or not self.data:
            own = Items(_own(), ())
            read = read_reworded(subject.locate(self.reworded)) if self.reworded else own
            kept = drawn(read.items, self.items, seed.child("items"))
            made = [self._reworded(item, seed.child("order", i)) for i, item in enumerate(kept)]
            return _with_ways(made, self.reworded or "the package's own questions"), read.notes
        found = [r for r in subject.records(self.data) if isinstance(r, Problem)]
        if found:
            kept = drawn(found, self.items, seed.child("items"))
            return _with_ways([self._problem(one) for one in kept], self.data), ()
        prompts = [getattr(r, "prompt", r) for r in subject.records(self.data)]
        different = list(dict.fromkeys(p for p in prompts if isinstance(p, Prompt)))
        kept = drawn(different, self.items, seed.child("items"))
        return _with_ways([self._open(prompt, _words()) for prompt in kept], self.data), ()

    def _reworded(self, item: RewordedItem, seed: Seed) -> _Asked:
        if item.choices:
            return self._choices(item, seed)
        problem = Problem(prompt=Prompt.of(item.question), answer=item.answer)
        return self._problem(problem, item.paraphrases)

    def _problem(self, problem: Problem, paraphrases: Sequence[str] = ()) -> _Asked:
        checker = self.checker
        if checker is None or not problem.answer:
            return self._open(problem.prompt, _words(answer_of(problem.answer)), paraphrases)

        def checked(answer: Answer) -> Known | None:
            if not spoken(answer):
                return None
            found = checker.check(problem, answer.text)
            return found.parsed, found.score >= 1

        return self._open(problem.prompt, checked, paraphrases)

    def _open(
        self,
        prompt: Prompt,
        read: Read,
        paraphrases: Sequence[str] = (),
    ) -> _Asked:
        """A request that is answered in words."""
        last = prompt.messages[-1].content
        turns: dict[str, list[str]] = {
            "words": [*paraphrases, *(frame.format(last) for frame in FRAMES)],
            "people": [person.format(last) for person in PEOPLE],
        }
        ways = {
            way: [(self._question(_ending(prompt, text)), read) for text in turns[way]]
            for way in self.ways
            if way in turns
        }
        again = 1 if self.temperature == 0 else self.variants
        same = [(self._question(prompt, sample=k), read) for k in range(again)]
        cut = {way: asked[: self.variants] for way, asked in ways.items()}
        return _Asked(prompt, {SAME: same, **cut})

    def _question(self, prompt: Prompt, sample: int = 0) -> Question:
        return Question(
            prompt=prompt,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            sample=sample,
        )

    def _choices(self, item: RewordedItem, seed: Seed) -> _Asked:
        """A question answered by the likeliest letter, which has no luck of its own."""
        stems: dict[str, list[str]] = {
            "words": [*item.paraphrases, *(frame.format(item.question) for frame in FRAMES)],
            "people": [person.format(item.question) for person in PEOPLE],
        }
        own = item.choices
        ways = {
            way: [(lettered(stem, own), _choice(own, item.answer)) for stem in stems[way]]
            for way in self.ways
            if way in stems
        }
        if "order" in self.ways:
            shuffles = seed.numpy()
            orders = [tuple(own[i] for i in shuffles.permutation(len(own))) for _ in range(8)]
            ways["order"] = [
                (lettered(item.question, one), _choice(one, item.answer)) for one in orders
            ]
        plain = lettered(item.question, own)
        cut = {way: asked[: self.variants] for way, asked in ways.items()}
        same = [(plain, _choice(own, item.answer))]
        return _Asked(plain.prompt, {SAME: same, **cut})


def _own() -> tuple[RewordedItem, ...]:
    return tuple(
        RewordedItem(q.question, choices=choices_of(i, q), answer=q.right[0])
        for i, q in enumerate(own_questions())
    )


def consistency(answers: Sequence[str]) -> float:
    """Share of pairs of answers that are the same; 1 for a single answer."""
    pairs = list(combinations(answers, 2))
    return float(np.mean([one == other for one, other in pairs])) if pairs else 1.0


def _with_ways(items: list[_Asked], place: str) -> list[_Asked]:
    """Items that are asked in more than one way.

    Raises:
        DataError: fewer than two of them.
    """
    kept = [item for item in items if len(item.ways) > 1]
    if len(kept) < 2:
        raise DataError(
            "too few prompts that can be asked in other ways",
            where=place,
            expected="at least two prompts; `order` needs choices",
            got=str(len(kept)),
            remedy="name more ways, or a file with more prompts",
        )
    return kept


def _ending(prompt: Prompt, text: str) -> Prompt:
    """The conversation with other words in its last turn."""
    *before, last = prompt.messages
    return Prompt(messages=(*before, Message(role=last.role, content=text)))


def _words(right: str = "") -> Read:
    """Takes all words of a reply for its answer."""

    def read(answer: Answer) -> Known | None:
        if not spoken(answer):
            return None
        said = answer_of(answer.text)
        return said, said == right if right else None

    return read


def _choice(choices: Sequence[str], right: str) -> Read:
    """Takes the likeliest choice."""

    def read(answer: Answer) -> Known | None:
        if not answer.probabilities:
            return None
        said = choices[int(np.argmax(answer.probabilities))]
        return said, said == right

    return read


# Measuring


def _answered(model: Model, items: Sequence[_Asked]) -> _Answered:
    questions = [q for item in items for asked in item.ways.values() for q, _ in asked]
    given = iter(model.ask(questions))
    said: list[_Answers] = []
    states: list[str] = []
    for item in items:
        own: _Answers = {}
        for way, asked in item.ways.items():
            answers = [(next(given), read) for _, read in asked]
            own[way] = [read(answer) for answer, read in answers]
            states += ["scored" if spoken(answer) else answer.state for answer, _ in answers]
        said.append(own)
    ways = list(dict.fromkeys(way for item in items for way in item.ways))
    rates = {way: np.array([_rate(own.get(way)) for own in said]) for way in ways}
    others = np.array([[rates[way][i] for way in ways if way != SAME] for i in range(len(items))])
    asked_so = np.array([[w in item.ways for w in ways if w != SAME] for item in items])
    means = np.where(asked_so, others, 0).sum(axis=1) / asked_so.sum(axis=1)
    return _Answered(rates, rates[SAME] - means, [_rights(own) for own in said], said, states)


def _rate(answers: Sequence[Known | None] | None) -> float:
    if answers is None or None in answers:
        return float("nan")
    return consistency([answer[0] for answer in answers if answer is not None])


def _rights(said: _Answers) -> list[float]:
    """Whether each answer to a rewording is right, where that is known; a missing one is not."""
    answers = [answer for way, own in said.items() if way != SAME for answer in own]
    if all(answer is None or answer[1] is None for answer in answers):
        return []
    return [float(answer is not None and bool(answer[1])) for answer in answers]


# What is shown


def _estimates(ours: _Answered, theirs: _Answered) -> tuple[NamedEstimate, ...]:
    found: list[NamedEstimate] = []
    for name, one in (("candidate", ours), ("baseline", theirs)):
        known = one.harm[~np.isnan(one.harm)]
        if len(known) > 1:
            lost = mean_estimate(known).model_dump()
            found.append(NamedEstimate(name=f"consistency lost by rewording, {name}", **lost))
    return tuple(found)


def _by_way(ours: _Answered, theirs: _Answered) -> Table:
    """Consistency rates, and how far each way lost more than the prompt itself did."""
    rows: list[tuple[Cell, ...]] = []
    tests: list[float] = []
    for way, own in ours.rates.items():
        other = theirs.rates[way]
        known = ~(np.isnan(own) | np.isnan(other))
        if known.sum() < 2:
            continue
        change = paired_difference(own[known], other[known])
        means = float(other[known].mean()), float(own[known].mean())
        rows.append((way, int(known.sum()), *means, change.value, change.low, change.high))
        less, more = int((own < other)[known].sum()), int((own > other)[known].sum())
        tests.append(binomial_test(less, less + more))
    adjusted = benjamini_hochberg(tests).tolist()
    return Table(
        title="Share of pairs of answers that are the same",
        columns=(
            "asked by",
            "items",
            "baseline",
            "candidate",
            "change",
            "low",
            "high",
            "adjusted p",
        ),
        rows=tuple((*row, p) for row, p in zip(rows, adjusted, strict=True)),
    )


def _accuracy(ours: _Answered, theirs: _Answered) -> tuple[Table, ...]:
    """Mean and worst accuracy over rewordings, and how far it varies with them."""
    pairs = enumerate(zip(ours.right, theirs.right, strict=True))
    known = [i for i, (one, other) in pairs if one and other]
    if len(known) < 2:
        return ()
    measures: dict[str, Callable[[list[float]], float]] = {
        "right, mean over rewordings": lambda right: float(np.mean(right)),
        "right in every rewording": min,
        "spread over rewordings (standard deviation)": lambda right: float(np.std(right)),
    }
    rows: list[tuple[Cell, ...]] = []
    for name, measure in measures.items():
        own = np.array([measure(ours.right[i]) for i in known])
        other = np.array([measure(theirs.right[i]) for i in known])
        change = paired_change(*worst_cases(own, other), level=0.95)
        means = float(other.mean()), float(own.mean())
        rows.append((name, *means, change.value, change.low, change.high, len(known)))
    columns = ("measure", "baseline", "candidate", "change", "low", "high", "items")
    return (Table(title="Accuracy over rewordings", columns=columns, rows=tuple(rows)),)


def _torn(
    about: str, items: Sequence[_Asked], ours: _Answered, theirs: _Answered
) -> tuple[Passage, ...]:
    """Items whose answers differ the most more than the baseline's do."""
    rise = np.nan_to_num(ours.harm - theirs.harm, nan=-np.inf)
    order = np.argsort(-rise, kind="stable")[:SHOWN]
    return tuple(
        Passage(
            about=about,
            prompt=items[i].prompt.messages[-1].content,
            baseline=_listed(theirs.answers[i]),
            candidate=_listed(ours.answers[i]),
            note=f"consistency lost: {theirs.harm[i]:.2f} before, {ours.harm[i]:.2f} now",
        )
        for i in order.tolist()
        if rise[i] > 0
    )


def _listed(answers: _Answers) -> str:
    said = {way: [a[0] if a else "(no reply)" for a in own] for way, own in answers.items()}
    lines = (f"{way}: {' | '.join(own)}" for way, own in said.items())
    return "\n".join(lines)
