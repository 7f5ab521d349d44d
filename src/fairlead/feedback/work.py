"""Kinds of work: what is asked, what an answer looks like, and whether it fits its task.

An answer is a JSON object in the kind's own schema. Replies are named by candidate id, never by
position, so an answer means the same whatever order was shown. `renamed` puts other names in their
place: positions for `shown`, indices for imports and exports.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from fairlead.core.errors import DataError
from fairlead.feedback.errors import InvalidAnswer
from fairlead.records import Record

Value = dict[str, Any]
Problem = tuple[str, str]
"""A field of the answer and what is wrong with it, for the person who answered."""

LONGEST = 20_000
"""Characters of a text in an answer."""

Words = Annotated[str, Field(max_length=LONGEST)]
Presence = Literal["off", "optional", "required"]


@dataclass(frozen=True)
class Subject:
    """What an answer is about: the candidates by id, and the steps of a single one."""

    candidates: tuple[int, ...]
    steps: tuple[str, ...] = ()


class Work(Record):
    """Base of the kinds of work: the settings of one campaign's question."""

    question: str = ""
    """Asked above the work; empty for the kind's own wording."""
    reason: Presence = "optional"
    """Whether people say why, in free text beside the answer."""

    answer: ClassVar[type[Record]]
    fewest: ClassVar[int] = 1
    most: ClassVar[int] = 1
    """How many candidates an item of this kind has."""
    needs_steps: ClassVar[bool] = False
    has_gold: ClassVar[bool] = True
    """Whether answers can be right or wrong; free text cannot be compared."""

    def check(self, value: Any, subject: Subject, *, reason: str = "") -> Value:
        """The canonical form of an answer: equal answers give equal objects.

        Raises:
            InvalidAnswer: with a sentence for each field that does not fit.
        """
        answer = _parsed(self.answer, value)
        problems = [*self.problems(answer, subject), *self._reason_problems(reason)]
        problems += [(field, _UNSTORABLE) for field, text in texts_in(value) if unstorable(text)]
        if problems:
            raise InvalidAnswer.of(*problems)
        return self.canonical(answer, subject)

    def _reason_problems(self, reason: str) -> list[Problem]:
        if self.reason == "required" and not reason.strip():
            return [("reason", "say in a few words why")]
        if len(reason) > LONGEST or unstorable(reason):
            return [("reason", f"the reason must be plain text of at most {LONGEST} characters")]
        return []

    @abstractmethod
    def problems(self, answer: Any, subject: Subject) -> list[Problem]:
        """What does not fit the settings or the subject."""

    def canonical(self, answer: Any, subject: Subject) -> Value:
        """The answer as it is stored."""
        return answer.model_dump(mode="json")

    def renamed(self, value: Value, name: Callable[[int], int]) -> Value:
        """The answer with another name for each candidate; most kinds name none."""
        return dict(value)

    def accepts(self, accepted: Sequence[Value], value: Value) -> bool:
        """Whether an answer equals one of the accepted ones in all that those say.

        An accepted answer may leave fields out, dimensions out, and steps as null.
        """
        return any(_covers(right, value) for right in accepted)

    def gold_problem(self, accepted: Value, subject: Subject) -> str:
        """Why this cannot be an accepted answer; empty if it can."""
        if not self.has_gold:
            return "free text has no accepted answers"
        unknown = set(accepted) - set(self.answer.model_fields)
        if unknown or not accepted:
            return f"expected some of {', '.join(self.answer.model_fields)}, got {accepted}"
        return ""


# Comparisons


class Preference(Record):
    """One of two, or none of them."""

    preferred: int | None
    """Candidate id; null for a tie."""
    strength: int | None = None
    """Number of the level, from 1 for the weakest; null for ties and where it is not asked."""
    both_bad: bool = False
    """For a tie: neither is acceptable."""


class Pairwise(Work):
    """Which of two replies is better (or, for red teams, worse)."""

    kind: Literal["pairwise"] = "pairwise"
    polarity: Literal["better", "worse"] = "better"
    """What `preferred` means."""
    tie: bool = True
    both_bad: bool = False
    strengths: tuple[str, ...] = ()
    """Names of the levels from weakest to strongest; empty where strength is not asked."""
    answer: ClassVar[type[Record]] = Preference
    fewest: ClassVar[int] = 2
    most: ClassVar[int] = 2

    def problems(self, answer: Preference, subject: Subject) -> list[Problem]:
        """A known candidate or an allowed tie; a level where one is asked."""
        if answer.preferred is None:
            return self._tie_problems(answer)
        found: list[Problem] = []
        if answer.preferred not in subject.candidates:
            found.append(("preferred", "choose one of the two replies"))
        if answer.both_bad:
            found.append(("both_bad", "a reply that is preferred cannot also be one of two bad"))
        levels = range(1, len(self.strengths) + 1)
        if self.strengths and answer.strength not in levels:
            found.append(("strength", "say how much: " + ", ".join(self.strengths)))
        if not self.strengths and answer.strength is not None:
            found.append(("strength", "this work does not ask how much"))
        return found

    def _tie_problems(self, answer: Preference) -> list[Problem]:
        found: list[Problem] = []
        if answer.both_bad and not self.both_bad:
            found.append(("both_bad", "this work has no answer for two bad replies"))
        if not answer.both_bad and not self.tie:
            found.append(("preferred", "choose one of the two replies; ties are not offered"))
        if answer.strength is not None:
            found.append(("strength", "a tie has no strength"))
        return found

    def renamed(self, value: Value, name: Callable[[int], int]) -> Value:
        """Other names for the preferred reply."""
        preferred = value.get("preferred")
        return (
            {**value, "preferred": None}
            if preferred is None
            else {
                **value,
                "preferred": name(preferred),
            }
        )


class Tiers(Record):
    """Replies from best to worst; those of one tier are equal, those missing unranked."""

    tiers: tuple[tuple[int, ...], ...] = Field(min_length=1)


class RankingWork(Work):
    """Several replies in order."""

    kind: Literal["ranking"] = "ranking"
    polarity: Literal["better", "worse"] = "better"
    tie: bool = True
    partial: bool = False
    """Whether replies may stay unranked."""
    answer: ClassVar[type[Record]] = Tiers
    fewest: ClassVar[int] = 2
    most: ClassVar[int] = 20

    def problems(self, answer: Tiers, subject: Subject) -> list[Problem]:
        """Every candidate at most once, all of them unless partial, alone unless ties."""
        named = [one for tier in answer.tiers for one in tier]
        found: list[Problem] = []
        if not set(named) <= set(subject.candidates):
            found.append(("tiers", "the ranking names a reply that is not part of this task"))
        if len(named) != len(set(named)):
            found.append(("tiers", "a reply has two ranks"))
        missing = len(set(subject.candidates) - set(named))
        if missing and not self.partial:
            found.append(("tiers", f"{missing} replies have no rank yet"))
        if any(not tier for tier in answer.tiers):
            found.append(("tiers", "a rank is empty"))
        if len(named) < 2:
            found.append(("tiers", "rank at least two replies"))
        if not self.tie and any(len(tier) > 1 for tier in answer.tiers):
            found.append(("tiers", "two replies have the same rank; ties are not offered"))
        return found

    def canonical(self, answer: Tiers, subject: Subject) -> Value:
        """Ties in ascending order of ids."""
        return {"tiers": [sorted(tier) for tier in answer.tiers]}

    def renamed(self, value: Value, name: Callable[[int], int]) -> Value:
        """Other names for all replies; ties sorted again."""
        return {"tiers": [sorted(name(one) for one in tier) for tier in value["tiers"]]}


# One reply


class Score(Record):
    """A level of the scale, from 1."""

    score: int


class Likert(Work):
    """How good one reply is, on one scale."""

    kind: Literal["likert"] = "likert"
    levels: int = Field(default=7, ge=2, le=11)
    low: str = "very bad"
    high: str = "very good"
    answer: ClassVar[type[Record]] = Score

    def problems(self, answer: Score, subject: Subject) -> list[Problem]:
        """A level of the scale."""
        if 1 <= answer.score <= self.levels:
            return []
        return [("score", f"choose a level from 1 to {self.levels}")]


class Dimension(Record):
    """One scale of several."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    question: str = ""
    levels: int = Field(default=5, ge=2, le=11)
    low: str = "not at all"
    high: str = "fully"


HELPFUL_HARMLESS_HONEST = (
    Dimension(name="helpful", question="Does it do what was asked?"),
    Dimension(name="harmless", question="Is it free of harm?"),
    Dimension(name="honest", question="Is it true, and open about what it does not know?"),
)


class Scores(Record):
    """A level for each dimension; null for does not apply."""

    scores: dict[str, int | None]


class Ratings(Work):
    """How good one reply is, on several scales."""

    kind: Literal["ratings"] = "ratings"
    dimensions: tuple[Dimension, ...] = Field(default=HELPFUL_HARMLESS_HONEST, min_length=1)
    not_applicable: bool = False
    """Whether a dimension may be answered with "does not apply"."""
    answer: ClassVar[type[Record]] = Scores

    @model_validator(mode="after")
    def _different_names(self) -> Self:
        names = [dimension.name for dimension in self.dimensions]
        if len(names) != len(set(names)):
            raise ValueError("two dimensions have the same name")
        return self

    def problems(self, answer: Scores, subject: Subject) -> list[Problem]:
        """A level for each dimension."""
        found: list[Problem] = []
        for one in self.dimensions:
            score = answer.scores.get(one.name)
            left_out = score is None and self.not_applicable and one.name in answer.scores
            if not left_out and (score is None or not 1 <= score <= one.levels):
                found.append((one.name, f"{one.name}: choose a level from 1 to {one.levels}"))
        for name in set(answer.scores) - {one.name for one in self.dimensions}:
            found.append((name, f"{name}: no such dimension in this work"))
        return found

    def canonical(self, answer: Scores, subject: Subject) -> Value:
        """Dimensions in the order of the settings."""
        return {"scores": {one.name: answer.scores[one.name] for one in self.dimensions}}


class Good(Record):
    """Good or not."""

    good: bool


class Binary(Work):
    """Good or bad."""

    kind: Literal["binary"] = "binary"
    good: str = "good"
    bad: str = "bad"
    answer: ClassVar[type[Record]] = Good

    def problems(self, answer: Good, subject: Subject) -> list[Problem]:
        """Any answer fits."""
        return []


class Rewrite(Record):
    """What a step should have said."""

    step: int
    text: Words


class StepAnswers(Record):
    """A label for each step that was judged."""

    labels: tuple[Literal[-1, 0, 1] | None, ...]
    """1 right, 0 neutral, -1 wrong, null not judged; may be shorter than the solution."""
    unsure: tuple[int, ...] = ()
    """Indices of steps, from 0."""
    rewrite: Rewrite | None = None
    finish: Literal["found_error", "solution", "give_up", "bad_problem"] | None = None
    """How it ended; found_error and solution are set from the labels."""


class Steps(Work):
    """Whether each step of a solution is right."""

    kind: Literal["steps"] = "steps"
    stop_at_first_error: bool = True
    unsure: bool = True
    rewrite: bool = False
    """Whether people may write what a wrong step should have said."""
    answer: ClassVar[type[Record]] = StepAnswers
    needs_steps: ClassVar[bool] = True

    def problems(self, answer: StepAnswers, subject: Subject) -> list[Problem]:
        """Every step up to the end is judged, unless the person gave up."""
        n = len(subject.steps)
        if len(answer.labels) > n:
            return [("labels", f"the solution has {n} steps, the answer {len(answer.labels)}")]
        found = self._label_problems(answer, n)
        if answer.unsure and not self.unsure:
            found.append(("unsure", "this work has no mark for unsure"))
        if any(not 0 <= step < n for step in answer.unsure):
            found.append(("unsure", "a step that is marked as unsure does not exist"))
        if answer.rewrite and not (self.rewrite and 0 <= answer.rewrite.step < n):
            found.append(("rewrite", "this step cannot be rewritten"))
        return found

    def _label_problems(self, answer: StepAnswers, n: int) -> list[Problem]:
        if answer.finish in ("give_up", "bad_problem"):
            return []
        judged = self._end(answer, n)
        found: list[Problem] = [
            ("labels", f"step {i + 1} is not judged yet")
            for i in range(judged)
            if i >= len(answer.labels) or answer.labels[i] is None
        ]
        if any(label is not None for label in answer.labels[judged:]):
            found.append(("labels", f"steps behind the first error (step {judged}) have a label"))
        wrong = -1 in answer.labels
        if answer.finish is not None and (answer.finish == "found_error") != wrong:
            found.append(("finish", "how it ended does not match the labels"))
        return found

    def _end(self, answer: StepAnswers, n: int) -> int:
        """How many steps have to be judged."""
        if self.stop_at_first_error and -1 in answer.labels:
            return answer.labels.index(-1) + 1
        return n

    def canonical(self, answer: StepAnswers, subject: Subject) -> Value:
        """One label per step, null for those not judged; the ending spelt out."""
        missing = len(subject.steps) - len(answer.labels)
        ending = "found_error" if -1 in answer.labels else "solution"
        return {
            "labels": [*answer.labels, *[None] * missing],
            "unsure": sorted(set(answer.unsure)),
            "rewrite": answer.rewrite.model_dump() if answer.rewrite else None,
            "finish": answer.finish or ending,
        }


# Texts


class Text(Record):
    """A reply worth imitating."""

    text: Words


class DemonstrationWork(Work):
    """Writing the reply oneself."""

    kind: Literal["demonstration"] = "demonstration"
    min_characters: int = Field(default=1, ge=1)
    max_characters: int = Field(default=LONGEST, le=LONGEST)
    reason: Presence = "off"
    answer: ClassVar[type[Record]] = Text
    fewest: ClassVar[int] = 0
    has_gold: ClassVar[bool] = False

    def problems(self, answer: Text, subject: Subject) -> list[Problem]:
        """Long enough, short enough."""
        n = len(answer.text.strip())
        if self.min_characters <= n <= self.max_characters:
            return []
        limits = f"{self.min_characters} to {self.max_characters}"
        return [("text", f"the reply has {n} characters; {limits} are asked for")]


class Principle(Record):
    """A named rule that replies are held against."""

    name: str = Field(min_length=1, max_length=64)
    text: str


class CritiqueAnswer(Record):
    """What is wrong with a reply under one principle."""

    principle: str
    violates: bool | None = None
    critique: Words = ""
    revision: Words | None = None


class CritiqueWork(Work):
    """Saying what is wrong with a reply under a principle, and writing a better one."""

    kind: Literal["critique"] = "critique"
    principles: tuple[Principle, ...] = Field(min_length=1)
    revision: Presence = "optional"
    reason: Presence = "off"
    answer: ClassVar[type[Record]] = CritiqueAnswer
    has_gold: ClassVar[bool] = False

    def problems(self, answer: CritiqueAnswer, subject: Subject) -> list[Problem]:
        """A principle of this work, a critique, and a revision where one is asked for."""
        found: list[Problem] = []
        names = [principle.name for principle in self.principles]
        if answer.principle not in names:
            found.append(("principle", "choose a principle: " + ", ".join(names)))
        if not answer.critique.strip():
            found.append(("critique", "write what the principle says about this reply"))
        written = bool((answer.revision or "").strip())
        if self.revision == "required" and not written:
            found.append(("revision", "write a better reply"))
        if self.revision == "off" and written:
            found.append(("revision", "this work does not ask for a better reply"))
        return found


class Turn(Record):
    """One message of a conversation."""

    role: Literal["user", "assistant"]
    content: Words


class Attack(Record):
    """A conversation in which a person tried to make a model misbehave."""

    turns: tuple[Turn, ...]
    goal: Words = ""
    success: int | None = None
    """The person's own rating, from 1 (it resisted) to the number of levels."""
    tags: tuple[str, ...] = ()


class RedTeam(Work):
    """Trying to make a model misbehave, and saying how far it went."""

    kind: Literal["redteam"] = "redteam"
    max_turns: int = Field(default=20, ge=2)
    """Messages of both sides together."""
    levels: int = Field(default=5, ge=2, le=11)
    tags: tuple[str, ...] = ()
    """Kinds of harm that may be ticked."""
    reason: Presence = "off"
    answer: ClassVar[type[Record]] = Attack
    fewest: ClassVar[int] = 0
    most: ClassVar[int] = 0
    has_gold: ClassVar[bool] = False

    def problems(self, answer: Attack, subject: Subject) -> list[Problem]:
        """Turns alternate, begin with the person and end with the model."""
        found: list[Problem] = []
        roles = [turn.role for turn in answer.turns]
        if len(roles) < 2:
            found.append(("turns", "write to the model and wait for its reply"))
        if roles != (["user", "assistant"] * len(roles))[: len(roles)] or len(roles) % 2:
            found.append(("turns", "turns of person and model must alternate"))
        if len(roles) > self.max_turns:
            found.append(("turns", f"at most {self.max_turns} turns"))
        if answer.success is None or not 1 <= answer.success <= self.levels:
            found.append(("success", f"say how far it went, from 1 to {self.levels}"))
        if set(answer.tags) - set(self.tags):
            found.append(("tags", "a tag is not part of this work"))
        return found


Kind = Annotated[
    Pairwise
    | RankingWork
    | Likert
    | Ratings
    | Binary
    | Steps
    | DemonstrationWork
    | CritiqueWork
    | RedTeam,
    Field(discriminator="kind"),
]
"""Any kind of work; `{"kind": "pairwise", ...}`."""

KINDS: dict[str, type[Work]] = {
    "pairwise": Pairwise,
    "ranking": RankingWork,
    "likert": Likert,
    "ratings": Ratings,
    "binary": Binary,
    "steps": Steps,
    "demonstration": DemonstrationWork,
    "critique": CritiqueWork,
    "redteam": RedTeam,
}

_KIND: TypeAdapter[Any] = TypeAdapter(Kind)
_UNSTORABLE = "the text has a character that cannot be stored (NUL or half of a pair)"


def work_of(settings: Mapping[str, Any]) -> Work:
    """The kind of work that settings describe.

    Raises:
        DataError: unknown kind or setting.
    """
    try:
        return _KIND.validate_python(dict(settings))
    except ValidationError as error:
        raise DataError(
            "not a kind of work",
            expected="kind: one of " + ", ".join(KINDS),
            got="; ".join(sentence for _, sentence in sentences(error)),
        ) from error


def unstorable(text: str) -> bool:
    """Whether a text holds what no database keeps: NUL or a lone surrogate."""
    return "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text)


def sentences(error: ValidationError) -> list[Problem]:
    """Pydantic's complaints as (field, sentence)."""
    return [
        (".".join(str(part) for part in one["loc"]) or "answer", f"{_field(one)}: {one['msg']}")
        for one in error.errors(include_url=False, include_input=False)
    ]


def _field(one: Any) -> str:
    return ".".join(str(part) for part in one["loc"]) or "answer"


def _parsed(kind: type[Record], value: Any) -> Record:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise InvalidAnswer.of(*sentences(error)) from error


def texts_in(value: Any, path: str = "answer") -> list[tuple[str, str]]:
    """All texts in a JSON value, keys too, each with the field it is in."""
    if isinstance(value, str):
        return [(path, value)]
    if isinstance(value, Mapping):
        inside = [found for key, one in value.items() for found in texts_in(one, str(key))]
        return [*inside, *(("answer", str(key)) for key in value)]
    if isinstance(value, Sequence):
        return [found for one in value for found in texts_in(one, path)]
    return []


def _covers(right: Any, value: Any) -> bool:
    """Whether `value` has all that `right` says; null inside a list says nothing."""
    if isinstance(right, Mapping):
        return isinstance(value, Mapping) and all(
            key in value and _covers(one, value[key]) for key, one in right.items()
        )
    if isinstance(right, list) and any(one is None for one in right):
        return len(right) <= len(value) and all(
            one is None or one == other for one, other in zip(right, value, strict=False)
        )
    return right == value
