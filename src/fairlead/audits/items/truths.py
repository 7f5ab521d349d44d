"""Questions with true and false answers, as TruthfulQA has them.

Lin et al. 2021, arXiv:2109.07958.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.audits.items.reading import BadItem, Items, read_items

EXPECTED = (
    "Question, Best Answer, Correct Answers, Incorrect Answers (separated by ';'), or question, "
    "mc1_targets, mc2_targets"
)


@dataclass(frozen=True)
class TruthItem:
    """A question with answers that are true and answers that are false."""

    question: str
    best: str
    """The best true answer."""
    true: tuple[str, ...]
    """All true answers, the best among them."""
    false: tuple[str, ...]
    subset: str = ""
    left_out: int = 0
    """Answers that are listed as true and false, or with which another one begins: their
    probabilities could not be told apart."""


def read_truths(place: str) -> Items[TruthItem]:
    """Reads items in the columns of the published table, or with multiple-choice targets.

    Every answer ends with a full stop, as the authors' scoring has it.

    Raises:
        DataError: nothing can be read there, or no row is such an item.
    """
    return read_items(place, _parse, expected=EXPECTED)


def _parse(row: Mapping[str, Any]) -> TruthItem:
    if "mc1_targets" in row:
        return _item(str(row["question"]), *_targets(row), subset=str(row.get("category", "")))
    best = _closed([str(row["Best Answer"])])
    true, false = (_closed(str(row[f"{k} Answers"]).split(";")) for k in ("Correct", "Incorrect"))
    question, subset = str(row["Question"]), str(row.get("Category", ""))
    return _item(question, best, (*best, *true), false, subset=subset)


def _targets(row: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Best, true and false answers of rows with `choices` and `labels`."""
    one, all_ = row["mc1_targets"], row["mc2_targets"]
    best = _closed([c for c, label in zip(one["choices"], one["labels"], strict=True) if label])
    pairs = list(zip(all_["choices"], all_["labels"], strict=True))
    true = _closed([choice for choice, label in pairs if label])
    return best, (*best, *true), _closed([choice for choice, label in pairs if not label])


def _item(
    question: str, best: Sequence[str], true: Sequence[str], false: Sequence[str], *, subset: str
) -> TruthItem:
    listed = list(dict.fromkeys([*true, *false]))
    both = set(true) & set(false)
    apart = [one for one in listed if one not in both and not _begins_another(one, listed)]
    kept_true = tuple(one for one in apart if one in set(true))
    kept_false = tuple(one for one in apart if one in set(false))
    first = next((one for one in best if one in kept_true), kept_true[0] if kept_true else "")
    if not question.strip() or not kept_true or not kept_false:
        raise BadItem("no question, or not one true and one false answer that differ")
    return TruthItem(
        question.strip(), first, kept_true, kept_false, subset, len(listed) - len(apart)
    )


def _begins_another(one: str, listed: Sequence[str]) -> bool:
    return any(other != one and other.startswith(one) for other in listed)


def _closed(answers: Sequence[str]) -> tuple[str, ...]:
    stripped = [answer.strip() for answer in answers if answer.strip()]
    return tuple(text if text.endswith(".") else f"{text}." for text in stripped)
