"""Reads a source row by row, keeps what is usable and reports what is not."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fairlead.core.errors import ConfigError, DataError
from fairlead.data.readers.registry import FORMATS, BadRow, Format, Row
from fairlead.data.readers.sources import Source, open_sources
from fairlead.records import Provenance, Record

LOOKED_AT = 20
"""Rows of each file from which the format is recognised."""


class RejectedRow(BaseModel):
    """A row that could not become a record, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    row: int
    """Row in the file, counted from 1."""
    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        where = f"{self.file}, row {self.row}, field {self.field}"
        return f"{where}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True)
class ReadResult:
    """What a source held."""

    records: tuple[Record, ...]
    rejected: tuple[RejectedRow, ...]
    format: str
    """Name of the format the rows were read as."""
    files: tuple[Path, ...]
    """Files that were read, in order; empty for a data set loaded by name."""


def read(
    path_or_name: str | Path,
    format: str = "auto",
    *,
    strict: bool = False,
    split: str | None = None,
) -> ReadResult:
    """Reads records from a file, a folder, or a data set by name.

    Args:
        path_or_name: a JSON Lines, JSON or Parquet file (gzip allowed), a folder of them, or a
            name that `datasets.load_dataset` takes.
        format: a name from `FORMATS`, or "auto" to recognise it by the fields of the first rows.
        strict: stop at the first row that cannot be used instead of reporting it.
        split: part of a named data set ("train" if not given) or of a folder (files named after
            it, as `test` in `test.jsonl`).

    Raises:
        ConfigError: there is no such format.
        DataError: nothing there, no format fits, no row is usable, or (strict) a row is malformed.
    """
    if format != "auto" and format not in FORMATS:
        raise ConfigError(
            "unknown data format",
            expected="auto, " + ", ".join(sorted(FORMATS)),
            got=format,
            remedy="use one of these names, or auto",
        )
    sources, files = open_sources(str(path_or_name), split)
    if format == "auto":
        sources, chosen = _recognise(sources, str(path_or_name))
    else:
        chosen = FORMATS[format]
    records, rejected = _collect(sources, chosen, strict)
    if not records:
        raise _nothing_usable(str(path_or_name), chosen, rejected)
    return ReadResult(tuple(records), tuple(rejected), chosen.name, files)


def _collect(
    sources: list[Source], chosen: Format, strict: bool
) -> tuple[list[Record], list[RejectedRow]]:
    records: list[Record] = []
    rejected: list[RejectedRow] = []
    for source in sources:
        for number, row in source.rows:
            try:
                records += _parse(row, chosen, Provenance(source=source.name, row=number))
            except BadRow as bad:
                reason = RejectedRow(
                    file=source.name,
                    row=number,
                    field=bad.field,
                    expected=bad.expected,
                    got=bad.got,
                )
                if strict:
                    raise _malformed(reason) from bad
                rejected.append(reason)
    return records, rejected


def _parse(row: Row | BadRow, chosen: Format, at: Provenance) -> list[Record]:
    if isinstance(row, BadRow):
        raise row
    try:
        return list(chosen.parse(row, at))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "(whole row)"
        raise BadRow(field, "a value a record can hold", first["msg"]) from error
    except RecursionError as error:
        raise BadRow("(whole row)", "a shallower tree", "too many levels") from error


def _recognise(sources: list[Source], where: str) -> tuple[list[Source], Format]:
    """Finds the one format of all sources; the rows looked at are put back."""
    votes: dict[str, str] = {}
    seen: dict[str, None] = {}
    unread: list[str] = []
    kept = []
    for source in sources:
        rows: Iterator[tuple[int, Row | BadRow]] = iter(source.rows)
        head = list(islice(rows, LOOKED_AT))
        kept.append(Source(source.name, chain(head, rows)))
        good = [row for _, row in head if not isinstance(row, BadRow)]
        seen.update((str(name), None) for row in good[:1] for name in row)
        unread += [f"{source.name}, row {n}: {row}" for n, row in head if isinstance(row, BadRow)]
        if name := detect(good):
            votes.setdefault(name, source.name)
    if len(votes) > 1:
        raise DataError(
            "the folder mixes formats",
            where=where,
            got=", ".join(f"{name} in {file}" for name, file in votes.items()),
            remedy="name one file, or say which format to read",
        )
    if not votes:
        raise DataError(
            "no known format fits the first rows",
            where=where,
            expected="the fields of one of: " + ", ".join(sorted(FORMATS)),
            got="fields " + ", ".join(seen) if seen else (unread or ["no rows"])[0],
            remedy="name the format, or rename the fields (for pairs: prompt, chosen, rejected)",
        )
    return kept, FORMATS[next(iter(votes))]


def detect(rows: list[Row]) -> str:
    """Name of the format most of the rows have the fields of; "" where none fits."""
    votes = Counter(f.name for row in rows for f in FORMATS.values() if f.detect(row))
    return votes.most_common(1)[0][0] if votes else ""


def _malformed(reason: RejectedRow) -> DataError:
    return DataError(
        "malformed row",
        where=f"{reason.file}, row {reason.row}, field {reason.field}",
        expected=reason.expected,
        got=reason.got,
        remedy="correct the row, or read without strict to have such rows reported and left out",
    )


def _nothing_usable(where: str, chosen: Format, rejected: list[RejectedRow]) -> DataError:
    first = f"; the first: {rejected[0]}" if rejected else ""
    return DataError(
        "no usable record",
        where=where,
        expected=f"rows of the format {chosen.name}",
        got=f"{len(rejected)} rows, none usable{first}" if rejected else "no rows",
        remedy="check the file, or name another format",
    )
