"""Records on disk: one JSON object per line, each naming its kind."""

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from fairlead import records
from fairlead.core.errors import DataError
from fairlead.core.files import read_lines, write_text

KINDS: dict[str, type[records.Record]] = {
    kind.__name__: kind
    for kind in (
        records.Prompt,
        records.Demonstration,
        records.Comparison,
        records.Ranking,
        records.Rating,
        records.StepLabels,
        records.Problem,
        records.Critique,
        records.Verdict,
    )
}


def write_records(path: Path, values: Iterable[records.Record]) -> None:
    """Writes records atomically."""
    lines = (
        json.dumps(
            {"kind": type(value).__name__, **value.model_dump(mode="json")}, ensure_ascii=False
        )
        for value in values
    )
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_records(path: Path) -> list[records.Record]:
    """Reads what `write_records` wrote.

    Raises:
        DataError: a line is not a record.
    """
    found: list[records.Record] = []
    for number, line in read_lines(path):
        try:
            value = json.loads(line)
            found.append(KINDS[value.pop("kind")].model_validate(value))
        except (ValueError, KeyError, ValidationError, AttributeError) as error:
            raise DataError(
                "not a record",
                where=f"{path}, line {number}",
                expected=f"a JSON object whose kind is one of {', '.join(KINDS)}",
                got=str(error)[:200],
                remedy="run the stage that wrote the file again",
            ) from error
    return found
