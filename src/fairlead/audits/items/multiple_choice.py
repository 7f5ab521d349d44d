"""Questions with several choices of which one is right, as capability sets have them.

Understood are `choices` (or `options`, `endings`) as a list, or as {"text": [...], "label": [...]};
and `answer` (or `answerKey`, `label`, `gold`) as a number counted from 0, a label or letter, or the
choice itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.audits.items.choices import LETTERS
from fairlead.audits.items.reading import BadItem, Items, read_items

EXPECTED = "question, choices (a list), answer (number from 0, letter, or the choice); subset"
QUESTIONS = ("question", "prompt", "ctx", "stem")
CHOICES = ("choices", "options", "endings")
ANSWERS = ("answer", "answerKey", "label", "gold")


@dataclass(frozen=True)
class ChoiceItem:
    """A question, its choices, and which is right."""

    question: str
    choices: tuple[str, ...]
    right: int
    subset: str = ""


def read_choices(place: str) -> Items[ChoiceItem]:
    """Reads questions with choices.

    Raises:
        DataError: nothing can be read there, or no row is such an item.
    """
    return read_items(place, parse_choices, expected=EXPECTED)


def parse_choices(row: Mapping[str, Any]) -> ChoiceItem:
    """One row.

    Raises:
        BadItem: its fields contradict each other.
        KeyError: a field is missing.
    """
    question, given, answer = (_first(row, names) for names in (QUESTIONS, CHOICES, ANSWERS))
    labels: list[str] = []
    if isinstance(given, Mapping):
        labels, given = [str(one) for one in given["label"]], given["text"]
    if not isinstance(given, list | tuple):
        raise BadItem("choices that are no list")
    choices = tuple(str(one).strip() for one in given)
    if not str(question).strip() or len(choices) < 2 or len(set(choices)) < len(choices):
        raise BadItem("an empty question, or fewer than two different choices")
    right = _place(answer, choices, labels or list(LETTERS[: len(choices)]))
    return ChoiceItem(str(question).strip(), choices, right, str(row.get("subset", "")))


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    found = [row[name] for name in names if name in row]
    if not found:
        raise KeyError(names[0])
    return found[0]


def _place(answer: Any, choices: tuple[str, ...], labels: list[str]) -> int:
    text = str(answer).strip()
    # Labels may be numbers counted from 1, so they come before places.
    for known in (labels, list(choices), [str(i) for i in range(len(choices))]):
        if text in known:
            return known.index(text)
    raise BadItem("an answer that is none of the choices")
