"""Records as Fairlead itself writes them: files of earlier runs."""

from collections.abc import Iterator

from fairlead.data.readers.registry import FORMATS, BadRow, Format, Row, is_own
from fairlead.records import Provenance, Record
from fairlead.records.files import KINDS

NAME = "fairlead"


def own(row: Row, at: Provenance) -> Iterator[Record]:
    """A record with its kind; its provenance stays that of the file it was first read from."""
    if not is_own(row):
        raise BadRow("kind", "one of " + ", ".join(KINDS), "fields " + ", ".join(map(str, row)))
    fields = {name: value for name, value in row.items() if name != "kind"}
    yield KINDS[row["kind"]].model_validate(fields)


FORMATS[NAME] = Format(NAME, own, is_own)
