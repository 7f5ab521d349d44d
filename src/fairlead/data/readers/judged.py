"""Formats that judge replies in several respects: safety, or ratings by dimension."""

from collections.abc import Iterator, Mapping
from typing import Any

from fairlead.data.readers.fields import has, items, number, prompt, shown, string, text, whole
from fairlead.data.readers.registry import BadRow, Row, reader
from fairlead.records import Comparison, Provenance, Rating

HELPSTEER = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


@reader("pku-saferlhf", has("prompt", "response_0", "response_1", "safer_response_id"))
def pku_saferlhf(row: Row, at: Provenance) -> Iterator[Comparison]:
    """PKU-SafeRLHF: two replies, the more helpful one, the safer one, and a flag for each.

    The chosen reply is the more helpful one (`better_response_id`); `safer` names the safer one.
    """
    replies = text(row, "response_0"), text(row, "response_1")
    better = whole(row.get("better_response_id"), "better_response_id", 0, 1)
    safer = whole(row.get("safer_response_id"), "safer_response_id", 0, 1)
    safe = _flag(row, "is_response_0_safe"), _flag(row, "is_response_1_safe")
    yield Comparison(
        prompt=prompt(row, at, "prompt"),
        chosen=replies[better],
        rejected=replies[1 - better],
        chosen_safe=safe[better],
        rejected_safe=safe[1 - better],
        safer="chosen" if safer == better else "rejected",
    )


def _flag(row: Row, name: str) -> bool:
    value = row.get(name)
    if not isinstance(value, bool):
        raise BadRow(name, "true or false", shown(value))
    return value


@reader("beavertails", has("prompt", "response", "is_safe"))
def beavertails(row: Row, at: Provenance) -> Iterator[Rating]:
    """BeaverTails: a reply and whether it is safe; value 1 for safe, 0 for unsafe."""
    value = float(_flag(row, "is_safe"))
    yield Rating(
        prompt=prompt(row, at, "prompt"),
        response=text(row, "response"),
        value=value,
        scores={"safe": value},
    )


@reader("helpsteer", has("prompt", "response", *HELPSTEER))
def helpsteer(row: Row, at: Provenance) -> Iterator[Rating]:
    """HelpSteer: a reply rated in five dimensions; helpfulness is its overall value."""
    scores = {name: number(row.get(name), name) for name in HELPSTEER}
    yield Rating(
        prompt=prompt(row, at, "prompt"),
        response=text(row, "response"),
        value=scores["helpfulness"],
        scores=scores,
    )


@reader("ultrafeedback", lambda row: has("instruction", "completions")(row) and _annotated(row))
def ultrafeedback(row: Row, at: Provenance) -> Iterator[Rating]:
    """UltraFeedback: several completions, each rated by dimension and overall.

    The value is `overall_score` where there is one, else the mean of the ratings; a dimension
    rated "N/A" is left out.
    """
    asked = prompt(row, at, "instruction")
    for index, one in enumerate(items(row.get("completions"), "completions")):
        field = f"completions[{index}]"
        if not isinstance(one, Mapping):
            raise BadRow(field, "a completion with annotations", shown(one))
        scores = _scores(one.get("annotations"), f"{field}.annotations")
        overall = one.get("overall_score")
        mean = sum(scores.values()) / len(scores)
        yield Rating(
            prompt=asked,
            response=string(one.get("response"), f"{field}.response"),
            value=mean if overall is None else number(overall, f"{field}.overall_score"),
            scores=scores,
        )


def _annotated(row: Row) -> bool:
    value = row["completions"]
    return isinstance(value, list) and any(
        isinstance(one, Mapping) and "annotations" in one for one in value
    )


def _scores(value: Any, field: str) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise BadRow(field, "ratings by dimension", shown(value))
    rated = {
        str(name): one.get("Rating") for name, one in value.items() if isinstance(one, Mapping)
    }
    try:
        scores = {name: float(one) for name, one in rated.items() if one not in (None, "N/A")}
    except ValueError as error:
        raise BadRow(field, "ratings that are numbers or 'N/A'", shown(rated)) from error
    if not scores:
        raise BadRow(field, "at least one dimension with a Rating", shown(value))
    return scores


def _is_rated(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("Rating") not in (None, "N/A")
