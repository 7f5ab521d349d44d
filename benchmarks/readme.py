"""Writes the measured numbers into README.md, from the committed results.

python -m benchmarks.readme
"""

import json
from pathlib import Path

from benchmarks import quickstart
from benchmarks.pages import with_blocks
from benchmarks.table import summary

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def filled(text: str) -> str:
    """README's text with its marked blocks made from the results."""
    runs = json.loads((RESULTS / "quickstart.json").read_text())
    slowest = max(run["seconds"] for run in runs["runs"]) / 60
    first = (
        f"Measured with `python -m benchmarks.quickstart` on {runs['machine']['processor']}, "
        f"{runs['machine']['cpus']} CPUs: at most {slowest:.1f} minutes after set-up. Gains are in "
        "units of the world's true utility against SFT, paired by prompt, with 95 % intervals."
    )
    blocks = {
        "quickstart": f"{first}\n\n{quickstart.table(runs)}",
        "compare": _comparison(),
        "bench": _bench(),
    }
    return with_blocks(text, blocks)


def _bench() -> str:
    """The suite's ratios and figure; nothing where it was not measured."""
    file = RESULTS / "bench.json"
    if not file.is_file():
        return ""
    result = json.loads(file.read_text())
    figure = "![Times faster than TRL](benchmarks/results/bench.svg)"
    more = (
        "Tokens and operations per second, memory, page faults, and what was equal: "
        "[benchmarks/results/bench.md](benchmarks/results/bench.md)."
    )
    return f"{summary(result)}\n\n{figure}\n\n{more}"


def _comparison() -> str:
    """The comparison of methods; nothing where it was not measured."""
    page = RESULTS / "comparison.md"
    if not page.is_file():
        return ""
    figure = "![Gain of each method against its distance](benchmarks/results/comparison.svg)"
    how = "Measured with `python -m benchmarks.compare`."
    return f"{how}\n\n{page.read_text().strip()}\n\n{figure}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text()))
