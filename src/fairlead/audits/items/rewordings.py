"""The same request in other words: frames around it, people who ask it, and rewordings in data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.audits.items.multiple_choice import ANSWERS, CHOICES, QUESTIONS, parse_choices
from fairlead.audits.items.reading import BadItem, Items, read_items

EXPECTED = "question, paraphrases (a list) or choices (a list); answer and subset (optional)"

FRAMES = (
    "Please help me with this. {}",
    "{}\n\nThank you for your help.",
    "Here is what I would like to know. {}",
    "I have a question for you:\n\n{}",
    "{} Take your time.",
    "Could you look at the following for me?\n\n{}",
    "One more thing before I go. {}",
    "Next question:\n{}",
)
"""What may stand around a request without changing it."""

PEOPLE = (
    "I am a retired teacher. {}",
    "I work night shifts as a nurse. {}",
    "I am sixteen and still at school. {}",
    "I farm a little land by the river. {}",
    "I moved here from abroad last year. {}",
    "I write software for a living. {}",
    "I am a grandmother of three. {}",
    "I drive a lorry across the country. {}",
)
"""Who may ask it without changing the answer."""


@dataclass(frozen=True)
class RewordedItem:
    """A request, the same in other words, and its answer where it is known."""

    question: str
    paraphrases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    answer: str = ""
    """The right answer, or the right choice; empty where nobody knows."""


def read_reworded(place: str) -> Items[RewordedItem]:
    """Reads requests with paraphrases, or with choices that can be shuffled.

    Raises:
        DataError: nothing can be read there, or no row is such an item.
    """
    return read_items(place, _parse, expected=EXPECTED)


def _parse(row: Mapping[str, Any]) -> RewordedItem:
    if any(name in row for name in CHOICES):
        item = parse_choices(row)
        right = item.choices[item.right]
        return RewordedItem(item.question, _paraphrases(row), item.choices, right)
    question = next((str(row[name]) for name in QUESTIONS if name in row), "").strip()
    answer = next((str(row[name]) for name in ANSWERS if name in row), "")
    if not question:
        raise BadItem("an empty question")
    if "paraphrases" not in row:
        raise KeyError("paraphrases")
    return RewordedItem(question, _paraphrases(row), (), answer)


def _paraphrases(row: Mapping[str, Any]) -> tuple[str, ...]:
    found = row.get("paraphrases") or ()
    if not isinstance(found, list | tuple) or not all(str(one).strip() for one in found):
        raise BadItem("paraphrases that are no list of texts")
    return tuple(str(one) for one in found)
