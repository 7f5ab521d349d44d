"""Readers of public formats: rows of files or data sets become records.

`read` is the entry. The modules pairs, single, ranked, judged and steps hold one function per
format.
"""

from fairlead.data.readers import judged, pairs, ranked, single, steps
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
    "pairs",
    "ranked",
    "read",
    "reader",
    "single",
    "steps",
]
