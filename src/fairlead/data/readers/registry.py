"""The list of formats: a name, a way to recognise it, and a function from a row to records.

A new format is one function with the `reader` decorator in a module of this package.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.records import Provenance, Record
from fairlead.records.files import KINDS

Row = Mapping[str, Any]
Parse = Callable[[Row, Provenance], Iterable[Record]]


class BadRow(Exception):
    """A row that cannot become a record: which field, what it should be, what it is."""

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(field, expected, got)
        self.field = field
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return f"field {self.field}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True)
class Format:
    """One way of writing records down."""

    name: str
    parse: Parse
    detect: Callable[[Row], bool]
    """True for a row with this format's fields; no two formats may claim the same row."""


FORMATS: dict[str, Format] = {}


def is_own(row: Row) -> bool:
    """Whether the row is a record as Fairlead writes it, whatever other format it resembles."""
    kind = row.get("kind")
    return (
        isinstance(kind, str)
        and kind in KINDS
        and ("prompt" not in row or _is_prompt(row["prompt"]))
    )


def _is_prompt(value: Any) -> bool:
    return isinstance(value, dict) and "messages" in value


def reader(name: str, detect: Callable[[Row], bool]) -> Callable[[Parse], Parse]:
    """Registers the decorated function as the parser of a format.

    Args:
        name: what users write for `format`.
        detect: recognises a row of this format by its fields.
    """

    def register(parse: Parse) -> Parse:
        assert name not in FORMATS, f"two readers are called {name}"
        FORMATS[name] = Format(name, parse, lambda row: detect(row) and not is_own(row))
        return parse

    return register
