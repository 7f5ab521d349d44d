"""The table of docs/feedback.md that shows how the server bears a crowd, from the results alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.pages import with_blocks

PAGE = Path(__file__).parents[1] / "docs" / "feedback.md"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def write_page(result: Mapping[str, Any]) -> None:
    """Puts the numbers into the page."""
    PAGE.write_text(filled(PAGE.read_text(), result))


def filled(text: str, result: Mapping[str, Any]) -> str:
    """The page's text with its marked block made from the results."""
    return with_blocks(text, {"load": load(result)})


def load(result: Mapping[str, Any]) -> str:
    """What was asked of the server, and what it did."""
    asked, machine = result["load"], result["machine"]
    head = (
        f"Measured with `python -m benchmarks.feedback_load` on {machine['processor']}, "
        f"{machine['cpus']} CPUs, which the simulated people shared with the server: "
        f"{asked['people']} people, {asked['items']} items with {asked['overlap']} answers each, "
        f"{asked['think_s']:g} s on average between a task and its answer, the server killed and "
        f"started again {asked['kills']} times."
    )
    lines = [
        "| database | answers | lost | double | answers/s | submit p50 | p95 | p99 | claim p95 "
        "| start |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, name in NAMES.items():
        run = result[key]
        submit, claim = run["submit_ms"], run["claim_ms"]
        cells = [
            name,
            f"{run['answers']} of {run['wanted']}",
            run["lost"],
            run["double"],
            run["answers_per_s"],
            *(f"{submit[q]:.0f} ms" for q in ("p50", "p95", "p99")),
            f"{claim['p95']:.0f} ms",
            f"{sorted(run['start_s'])[len(run['start_s']) // 2]} s",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([head, "", *lines])
