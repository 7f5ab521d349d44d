"""Do the audits find planted defects, and leave alone what has none?

python -m benchmarks.audits [--seed 0] [--json FILE]
python -m benchmarks.audits --page      # the tables in docs/audits.md, from the results

The same as `fairlead audit --self-test`, with its results kept.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.pages import with_blocks
from fairlead.audits.self_test import self_test
from fairlead.cli.audit import proof_json
from fairlead.core.cpus import usable_cores
from fairlead.core.files import read_json, write_json

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "audits.json"
PAGE = ROOT / "docs" / "audits.md"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the self-test, and writes results and page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args(arguments)
    if not asked.page:
        started = time.perf_counter()
        found = proof_json(self_test(asked.seed, workers=usable_cores(), say=print))
        seconds = round(time.perf_counter() - started)
        write_json(asked.json, {"machine": describe(), "seconds": seconds, **found})
    if asked.json == RESULTS:
        PAGE.write_text(filled(PAGE.read_text(), read_json(RESULTS)))


def filled(text: str, result: Mapping[str, Any]) -> str:
    """The page with its tables from the results."""
    blocks = {"planted": planted(result), "coverage": coverage(result), "proof": proof(result)}
    return with_blocks(text, blocks)


def proof(result: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    cases = result["audits"]
    held = sum(case["proven"] for case in cases)
    covered = sum(one["proven"] for one in result["coverage"])
    least = min(case["power"] for case in cases)
    most = max(case["false_alarm"] for case in cases)
    passing = min(case["passed"] for case in cases)
    return (
        f"{held} of {len(cases)} planted defects are found (power {least:.1%} or more); of 200 "
        f"clean runs each, at most {most:.1%} raise an alarm and at least {passing:.1%} pass; "
        f"{covered} of {len(result['coverage'])} kinds of intervals cover as they should. "
        f"Seed {result['seed']}, {result['seconds'] // 60} min {result['seconds'] % 60} s."
    )


def planted(result: Mapping[str, Any]) -> str:
    """A row for each defect."""
    rows = [
        f"| {one['name']} | `{one['audit']}` | {_share(one, 'power')} | "
        f"{_share(one, 'false_alarm')} | {one['passed']:.1%} |"
        for one in result["audits"]
    ]
    head = "| planted defect | audit | found | false alarms | clean runs that pass |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def coverage(result: Mapping[str, Any]) -> str:
    """A row for each kind of interval."""
    rows = [f"| {one['name']} | {_share(one, 'coverage')} |" for one in result["coverage"]]
    return "\n".join(["| interval of 95 % | holds the truth |", "|---|---|", *rows])


def _share(one: Mapping[str, Any], key: str) -> str:
    low, high = one[f"{key}_interval"]
    return f"{one[key]:.1%} [{low:.1%}, {high:.1%}]"


if __name__ == "__main__":
    main()
