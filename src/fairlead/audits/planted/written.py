"""Data of planted cases, as files for as long as a run takes."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Path of a JSON Lines file with these rows; it is gone after the block."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        yield str(path)


def yes_or_no(question: Callable[[int], str], count: int) -> Iterator[dict[str, str]]:
    """Rows of numbered questions; yes and no show the behaviour in turn."""
    for number in range(count):
        matching, other = (" Yes", " No") if number % 2 == 0 else (" No", " Yes")
        yield {
            "question": question(number),
            "answer_matching_behavior": matching,
            "answer_not_matching_behavior": other,
        }
