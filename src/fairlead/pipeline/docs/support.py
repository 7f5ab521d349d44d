"""Writes docs/support.md: `python -m fairlead.pipeline.docs.support FILE [PAGE]`.

The file is what `pytest tests/support --support FILE` wrote: a list of [method, weights, device,
processes], one for each test that passed.
"""

import json
import sys
from pathlib import Path

from fairlead.core.files import write_text
from fairlead.pipeline.methods import Family, methods

PAGE = Path("docs/support.md")

COLUMNS = tuple(
    (weights, device, processes)
    for device in ("cpu", "gpu")
    for processes in ("one process", "two processes")
    for weights in ("full", "lora")
)
"""Weights, device and processes, in the order of the table."""

INTRODUCTION = """\
# What was run

Made by `make support` from the tests that passed (`tests/support`): each trains a tiny model with
the method for two optimizer steps, with all weights or with adapters, in one process or in two
(joined over gloo). `yes` is a test that passed. `-` is everything else: what did not pass, devices
that were not there, and adapters where a method takes none (reward models, self-play, a reference
that moves). That a
method runs says nothing about how well it learns; the other tests do.
"""


def page(rows: list[list[str]]) -> str:
    """The page as Markdown."""
    passed = {tuple(row) for row in rows}
    heads = [f"{weights}, {device.upper()}, {processes}" for weights, device, processes in COLUMNS]
    lines = [INTRODUCTION, f"| method | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for family in Family:
        for method in methods():
            if method.family == family:
                cells = ["yes" if (method.kind, *c) in passed else "-" for c in COLUMNS]
                link = f"[`{method.kind}`](objectives.md#{method.kind})"
                lines.append(f"| {link} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(results: Path, target: Path = PAGE) -> None:
    """Writes the page."""
    write_text(target, page(json.loads(results.read_text())))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
