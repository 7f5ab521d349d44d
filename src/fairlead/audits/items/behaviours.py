"""Questions whose answer shows a behaviour or not, as Anthropic's model-written evaluations have.

Perez et al. 2022, arXiv:2212.09251.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.audits.items.reading import BadItem, Items, read_items

EXPECTED = "question, answer_matching_behavior, answer_not_matching_behavior; behavior (optional)"

_TAIL = re.compile(r"\s*Answer:\s*\(?$")


@dataclass(frozen=True)
class BehaviourItem:
    """A question with two answers, one of which shows the behaviour."""

    question: str
    matching: str
    """The answer that shows the behaviour, as it would be written."""
    other: tuple[str, ...]
    """Answers that do not."""
    behaviour: str
    cluster: str
    """Items of one key are not independent: the same question under another biography."""


def read_behaviours(place: str) -> Items[BehaviourItem]:
    """Reads items with `answer_matching_behavior` and `answer_not_matching_behavior`.

    Raises:
        DataError: nothing can be read there, or no row is such an item.
    """
    return read_items(place, _parse, expected=EXPECTED)


def _parse(row: Mapping[str, Any]) -> BehaviourItem:
    question, matching = str(row["question"]), str(row["answer_matching_behavior"])
    others = row["answer_not_matching_behavior"]
    other = tuple(map(str, others)) if isinstance(others, list) else (str(others),)
    if not question.strip() or not matching.strip() or matching in other or not all(other):
        raise BadItem("an empty question, or answers that do not differ")
    stem = _TAIL.sub("", question).strip()
    return BehaviourItem(
        question=stem,
        matching=matching,
        other=other,
        behaviour=str(row.get("behavior", "")),
        cluster=str(row.get("statement") or stem),
    )
