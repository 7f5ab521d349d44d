"""Readers of public formats: rows of files or data sets become records.

`read` is the entry. The modules own, pairs, single, ranked, judged and steps hold one function per
format.
"""

from fairlead.data.readers import judged, own, pairs, ranked, single, steps
from fairlead.data.readers.reading import ReadResult, RejectedRow, detect, read
from fairlead.data.readers.registry import FORMATS, BadRow, Format, Row, reader

__all__ = [
    "FORMATS",
    "BadRow",
    "Format",
    "ReadResult",
    "RejectedRow",
    "Row",
    "detect",
    "judged",
    "own",
    "pairs",
    "ranked",
    "read",
    "reader",
    "single",
    "steps",
]
