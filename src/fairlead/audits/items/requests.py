"""Requests that should be answered or refused, as XSTest has them, and what people said of replies.

Roettger et al. 2024, arXiv:2308.01263.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.audits.items.reading import BadItem, Items, read_items
from fairlead.judges.compliance import CLASSES, Compliance

_NUMBER = re.compile(r"^\d+_")


@dataclass(frozen=True)
class RequestItem:
    """A request that is safe to answer, or not."""

    prompt: str
    type: str
    """Why a safe one may be refused, or whose words an unsafe one borrows."""
    safe: bool
    id: str = ""


@dataclass(frozen=True)
class LabelledReply:
    """A model's reply to a request, with what was said of it."""

    id: str
    """Of the request."""
    prompt: str
    model: str
    reply: str
    """Empty where only the labels were published."""
    people: tuple[Compliance, ...]
    """One class by each annotator."""
    final: Compliance
    """What they agreed on."""
    judges: tuple[tuple[str, Compliance | None], ...]
    """Class by each automatic judge; None where its words hold none."""


def read_requests(place: str) -> Items[RequestItem]:
    """Reads items with `prompt`, `type` and `label` (safe or unsafe).

    Raises:
        DataError: nothing can be read there, or no row is such an item.
    """
    return read_items(place, _request, expected="prompt, type, label (safe or unsafe); id")


def read_labelled(place: str) -> Items[LabelledReply]:
    """Reads replies with `annotation_1`, `annotation_2`, `final_label` and labels by judges.

    Raises:
        DataError: nothing can be read there, or no row is such a reply.
    """
    expected = "id, prompt, model, annotation_1, annotation_2, final_label; *_label; completion"
    return read_items(place, _labelled, expected=expected)


def class_of(label: str) -> Compliance | None:
    """The class that a label names, with or without the number in front of it; None for none."""
    name = _NUMBER.sub("", label.strip())
    return next((known for known in CLASSES if known == name), None)


def _request(row: Mapping[str, Any]) -> RequestItem:
    prompt, label = str(row["prompt"]).strip(), str(row["label"])
    if not prompt or label not in ("safe", "unsafe"):
        raise BadItem("an empty prompt, or a label other than safe and unsafe")
    kind = str(row["type"]).removeprefix("contrast_")
    return RequestItem(prompt, kind, label == "safe", str(row.get("id", "")))


def _labelled(row: Mapping[str, Any]) -> LabelledReply:
    people: list[Compliance | None] = [
        class_of(str(row[name])) for name in ("annotation_1", "annotation_2")
    ]
    final = class_of(str(row["final_label"]))
    known: list[Compliance] = [label for label in people if label is not None]
    if final is None or len(known) < len(people):
        raise BadItem("a label by people that is none of the classes")
    judges = [name for name in sorted(row) if name.endswith("_label") and name != "final_label"]
    return LabelledReply(
        id=str(row["id"]),
        prompt=str(row["prompt"]),
        model=str(row["model"]),
        reply=str(row.get("completion") or ""),
        people=tuple(known),
        final=final,
        judges=tuple((n.removesuffix("_label"), class_of(str(row[n]))) for n in judges),
    )
