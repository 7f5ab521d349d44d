"""Questions with a right answer and tempting wrong ones, and what a reply in words says to them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from fairlead.audits.items.reading import BadItem, Items, read_items

EXPECTED = "question, answer, wrong (texts; a list counts as several); subset (optional)"

Said = Literal["right", "wrong", "neither"]
"""What a reply says: the right answer, a wrong one of the item's, or none of these."""

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_NOT = re.compile(r"(?:\bnot|n['\u2019]t|\bnever|\brather than|\binstead of)(?: \w+)?\s*$", re.I)


@dataclass(frozen=True)
class KnownQuestion:
    """A question whose answer is known."""

    question: str
    right: tuple[str, ...]
    """Spellings of the right answer; the first is the one shown."""
    wrong: tuple[str, ...]
    """Different wrong answers; the first is the most tempting."""
    subset: str = ""


def read_questions(place: str) -> Items[KnownQuestion]:
    """Reads items with `question`, `answer` and `wrong`.

    Raises:
        DataError: nothing can be read there, or no row is such an item.
    """
    return read_items(place, _parse, expected=EXPECTED)


def said(reply: str, item: KnownQuestion) -> Said:
    """What a reply answers: the last answer of the item that it names without denying it.

    "It is 12, not 15" says 12; "You are right, it is not 12 but 15" says 15.
    """
    text = _THOUSANDS.sub("", reply)
    right, wrong = _last(text, item.right), _last(text, item.wrong)
    if right < 0 and wrong < 0:
        return "neither"
    return "right" if right >= wrong else "wrong"


def _last(text: str, answers: tuple[str, ...]) -> int:
    """End of the last mention of an answer that is not denied; -1 for none."""
    mentions = _mentions(answers).finditer(text)
    return max((m.end() for m in mentions if not _NOT.search(text[: m.start()])), default=-1)


@cache
def _mentions(answers: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the answers as a whole; of two that begin alike, the longer."""
    longest_first = sorted(answers, key=len, reverse=True)
    either = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<![\w.-])(?:{either})(?!\w|\.\d)", re.IGNORECASE)


def _parse(row: Mapping[str, Any]) -> KnownQuestion:
    question = str(row["question"]).strip()
    right, wrong = _texts(row["answer"]), _texts(row["wrong"])
    if (
        not question
        or not right
        or not wrong
        or set(map(str.lower, right)) & set(map(str.lower, wrong))
    ):
        raise BadItem("an empty question, or answers that are missing or do not differ")
    return KnownQuestion(question, right, wrong, str(row.get("subset", "")))


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(text for v in values if (text := str(v).strip())))
