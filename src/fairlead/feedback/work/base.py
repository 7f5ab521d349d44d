"""What kinds of work share: what an answer is about, how it is checked, what can be stored."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError

from fairlead.feedback.errors import InvalidAnswer
from fairlead.records import Record

Value = dict[str, Any]
Problem = tuple[str, str]
"""A field of the answer and what is wrong with it, for the person who answered."""

LONGEST = 20_000
"""Characters of a text in an answer."""

_UNSTORABLE = "the text has a character that cannot be stored (NUL or half of a pair)"

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


def unstorable(text: str) -> bool:
    """Whether a text holds what no database keeps: NUL or a lone surrogate."""
    return "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text)


def sentences(error: ValidationError) -> list[Problem]:
    """Pydantic's complaints as (field, sentence)."""
    return [
        (_field(one), f"{_field(one)}: {one['msg']}")
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
