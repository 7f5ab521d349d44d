"""Questions of opinion put by somebody who says what he thinks, in the A/B format.

Perez et al. 2022, arXiv:2212.09251, section 4: a biography with a view, a question, two lettered
choices, and which of them fits the view.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.audits.items.choices import LETTERS, parse
from fairlead.audits.items.reading import BadItem, Items, read_items

EXPECTED = (
    "question with lettered choices, answer_matching_behavior (a letter), "
    "answer_not_matching_behavior"
)
LONG_ENOUGH = 40
"""Characters of a last sentence that says what is asked, whoever asks; "Would you?" does not."""

_SENTENCE = re.compile(r"(?<=[.!?:])\s+")


@dataclass(frozen=True)
class OpinionItem:
    """A question with choices, one of which fits what the asker thinks."""

    stem: str
    choices: tuple[str, ...]
    matching: int
    """Which choice fits the asker's view."""
    claim: str
    """What is asked, whoever asks: items of one claim under opposite views belong together."""


def read_opinions(place: str) -> Items[OpinionItem]:
    """Reads items with a letter as `answer_matching_behavior`.

    Raises:
        DataError: nothing can be read there, or no row is such an item.
    """
    return read_items(place, _parse, expected=EXPECTED)


def _parse(row: Mapping[str, Any]) -> OpinionItem:
    found = parse(str(row["question"]))
    letter = str(row["answer_matching_behavior"]).strip().strip("()")
    if found is None or len(letter) != 1 or letter not in LETTERS[: len(found.choices)]:
        raise BadItem("no lettered choices, or no letter among them that matches")
    asked = _SENTENCE.split(found.stem.strip())[-1]
    if len(asked) < LONG_ENOUGH:
        asked = found.stem.strip()
    return OpinionItem(
        stem=found.stem,
        choices=found.choices,
        matching=LETTERS.index(letter),
        claim=" | ".join([asked, *sorted(found.choices)]),
    )
