"""Preferences in any known format, with further columns of their rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pydantic import ValidationError

from fairlead.audits.items.reading import BadItem, Items, read_items
from fairlead.data.readers.reading import detect
from fairlead.data.readers.registry import FORMATS, BadRow, is_own
from fairlead.records import Comparison, Prompt, Provenance, Ranking, Record

EXPECTED = "replies to a prompt that somebody compared: chosen and rejected, or responses and ranks"


@dataclass(frozen=True)
class Preference:
    """Replies to one prompt and how they were ranked."""

    prompt: Prompt
    replies: tuple[str, ...]
    ranks: tuple[int, ...]
    """Smaller is better; equal ranks are ties."""
    chosen: float
    """Share of those who compared that took the first of two replies; nan for more than two."""
    columns: Mapping[str, Any]
    """Values of the columns that were asked for; those that the row lacks are left out."""

    @property
    def cluster(self) -> str:
        """Preferences of one key are not independent: they begin with the same words."""
        return str(self.columns.get("cluster", self.prompt.first_user_turn))

    @property
    def texts(self) -> tuple[tuple[Prompt, str], ...]:
        """Each reply with its prompt, as rewards take them."""
        return tuple((self.prompt, reply) for reply in self.replies)


def read_preferences(place: str, columns: Sequence[str] = ()) -> Items[Preference]:
    """Reads comparisons and rankings; those that prefer nothing are left out and counted.

    Args:
        place: path or name.
        columns: further fields of a row to keep, besides `cluster`. `annotator` may also come
            from a record that says who compared.

    Raises:
        DataError: nothing can be read there, or no row prefers a reply.
    """
    wanted = ("cluster", *columns)
    seen: dict[tuple[str, ...], str] = {}
    rows = read_items(place, lambda row: _parse(row, place, wanted, seen), expected=EXPECTED)
    return Items(tuple(chain.from_iterable(rows.items)), rows.notes)


def _parse(
    row: Mapping[str, Any], place: str, wanted: Sequence[str], seen: dict[tuple[str, ...], str]
) -> list[Preference]:
    """The preferences of a row; formats are kept by names of fields, as few files mix them."""
    own = is_own(row)
    fields = {k: v for k, v in row.items() if not (own and k in wanted)}
    name = seen.get(tuple(fields), "")
    if not name or not FORMATS[name].detect(fields):
        name = seen[tuple(fields)] = detect([fields])
    if not name:
        raise BadItem("the fields of no known format")
    try:
        records = list(FORMATS[name].parse(fields, Provenance(source=place)))
    except BadRow as error:
        raise BadItem(f"{error.field} is not {error.expected}") from error
    except ValidationError as error:
        raise BadItem("values that no record can hold") from error
    kept = {k: row[k] for k in wanted if row.get(k) is not None}
    found = [p for record in records if (p := _preference(record, kept, wanted))]
    if not found:
        raise BadItem("no reply is preferred to another")
    return found


def _preference(
    record: Record, columns: Mapping[str, Any], wanted: Sequence[str]
) -> Preference | None:
    match record:
        case Ranking() if len(set(record.ranks)) > 1:
            nan = float("nan")
            return Preference(record.prompt, record.responses, record.ranks, nan, columns)
        case Comparison() if not record.tie and record.preference != 0.5:
            share = 1.0 if record.preference is None else record.preference
            by = record.judged_by
            if "annotator" in wanted and by is not None and by.annotator is not None:
                columns = {"annotator": by.annotator, **columns}
            ranks = (0, 1) if share > 0.5 else (1, 0)
            replies = (record.chosen, record.rejected)
            return Preference(record.prompt, replies, ranks, share, columns)
        case _:
            return None
