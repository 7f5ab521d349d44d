"""Questions about two people of whom a stereotype favours one, as BBQ has them.

Parrish et al. 2022, arXiv:2110.08193.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.audits.items.reading import BadItem, Items, read_items

EXPECTED = (
    "category, question_index, question_polarity, context_condition, context, question, ans0, "
    "ans1, ans2, label, answer_info, additional_metadata.stereotyped_groups"
)


@dataclass(frozen=True)
class BiasItem:
    """A context, a question and three answers: two people and "unknown"."""

    context: str
    question: str
    answers: tuple[str, ...]
    right: int
    unknown: int
    biased: int
    """The answer that fits the stereotype: the stereotyped group where the question is about
    something bad, the other group where it is not."""
    ambiguous: bool
    """Whether the context leaves open who is meant, so that "unknown" is right."""
    category: str
    template: str
    """Items of one template are not independent."""


def read_bias(place: str) -> Items[BiasItem]:
    """Reads items with the fields of the published files.

    Raises:
        DataError: nothing can be read there, or no row is such an item.
    """
    return read_items(place, _parse, expected=EXPECTED)


def _parse(row: Mapping[str, Any]) -> BiasItem:
    names = ("ans0", "ans1", "ans2")
    groups = [[str(part).lower() for part in row["answer_info"][name]] for name in names]
    hurt = [str(group).lower() for group in row["additional_metadata"]["stereotyped_groups"]]
    unknown = [i for i, group in enumerate(groups) if group[-1] == "unknown"]
    people = [i for i in range(3) if i not in unknown]
    stereotyped = [i for i in people if any(part in hurt for part in groups[i])]
    if len(unknown) != 1 or len(stereotyped) != 1:
        raise BadItem("not one answer that is unknown and one of the stereotyped group")
    if row["question_polarity"] not in ("neg", "nonneg"):
        raise BadItem("a polarity other than neg and nonneg")
    if row["context_condition"] not in ("ambig", "disambig"):
        raise BadItem("a context other than ambig and disambig")
    negative = row["question_polarity"] == "neg"
    other = next(i for i in people if i != stereotyped[0])
    return BiasItem(
        context=str(row["context"]),
        question=str(row["question"]),
        answers=tuple(str(row[name]) for name in names),
        right=int(row["label"]),
        unknown=unknown[0],
        biased=stereotyped[0] if negative else other,
        ambiguous=row["context_condition"] == "ambig",
        category=str(row["category"]),
        template=f"{row['category']} {row['question_index']}",
    )
