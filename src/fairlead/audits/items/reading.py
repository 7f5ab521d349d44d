"""Reads rows into items of an audit; rows that are none are counted with their reason."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fairlead.core.errors import DataError
from fairlead.data.readers.registry import BadRow
from fairlead.data.readers.sources import open_sources

Item = TypeVar("Item")


class BadItem(Exception):
    """A row that is no item of the audit, and why."""


@dataclass(frozen=True)
class Items(Generic[Item]):
    """The items of a file, and what was left out."""

    items: tuple[Item, ...]
    notes: tuple[str, ...]
    """A sentence for each reason why rows were left out, with their count."""


def read_items(
    place: str, parse: Callable[[Mapping[str, Any]], Item], *, expected: str
) -> Items[Item]:
    """Reads a JSONL (or gzip, JSON, Parquet) file, a folder, or a data set by name.

    Args:
        place: path or name.
        parse: makes an item of a row; raises `BadItem` or `KeyError` where it cannot.
        expected: the fields of a row, in words, for the error.

    Raises:
        DataError: nothing can be read there, or no row is an item.
    """
    sources, _ = open_sources(place, None)
    items: list[Item] = []
    refused: Counter[str] = Counter()
    for source in sources:
        for _, row in source.rows:
            try:
                if isinstance(row, BadRow):
                    raise BadItem(str(row))
                items.append(parse(row))
            except KeyError as error:
                refused[f"no field {error.args[0]}"] += 1
            except BadItem as error:
                refused[str(error)] += 1
    if not items:
        raise DataError(
            "no row is an item of this audit",
            where=place,
            expected=expected,
            got="; ".join(f"{count} rows: {why}" for why, count in refused.most_common(3)),
            remedy="name another file, or another audit",
        )
    notes = tuple(f"{count} rows of {place} left out: {why}." for why, count in refused.items())
    return Items(tuple(items), notes)
