"""Fairlead beside TRL on equal models, data and tokens: time, memory, and the floor of the machine.

python -m benchmarks.suite [--only dpo,grpo] [--models S,M] [--rounds N] [--json FILE]

Every side is a process of its own that works one turn when told to. A round is one turn of each
side; the first is a warm-up and dropped. Only one side computes at a time. A turn during which
other work took CPU time is left out, whatever its result, and measured again. A row is written as
soon as it is measured, and takes the place of an older one in the same file.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.comparisons import ROWS, WORKS, Answer, Work
from benchmarks.figure import draw
from benchmarks.machine import describe
from benchmarks.peer import ROOT, peer_python, peer_versions
from benchmarks.process import Side
from benchmarks.rates import measure
from benchmarks.rows import Unequal, others, rows_of, undisturbed
from benchmarks.table import render
from benchmarks.work import SIZES, make_model
from fairlead.cli.doctor import usable_cpus
from fairlead.core.files import read_json, write_json, write_text

RESULTS = ROOT / "benchmarks" / "results" / "bench.json"

ROUNDS = {"XS": 1, "S": 3, "M": 2}
"""Turns of each side that count, where the command line does not say."""

SAME = ("processor", "threads", "versions", "peer_versions")
"""What rows in one file have in common."""

PATIENCE = 4
"""Turns that a side works at most for each that counts; then the least disturbed ones count."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is asked for and writes JSON, page and figure after each piece of work."""
    asked = _parsed(arguments)
    peer = peer_python()
    machine = {**describe(), "threads": usable_cpus(), "peer_versions": peer_versions(peer)}
    result = _begun(asked.json, machine)
    failed: list[str] = []
    for name in asked.models:
        rates = measure(SIZES[name], usable_cpus())
        _tell(f"{name}: {rates}")
        for work in asked.works:
            try:
                answers = _interleaved(name, work, asked.rounds or ROUNDS[name], asked, peer)
                rows = rows_of(work, name, answers, asked.rounds or ROUNDS[name], rates)
            except (Unequal, RuntimeError) as error:
                failed.append(f"{work.name} {name}: {error}")
                _tell(failed[-1])
                continue
            _put(result, rows, {"date": machine["date"], "rates": asdict(rates)})
            _write(asked.json, result)
    print(render(result))
    if failed:
        raise SystemExit("not measured:\n" + "\n".join(failed))


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.suite",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    sizes = f"of {', '.join(SIZES)}, with commas between"
    parser.add_argument("--models", default="S,M", help=sizes)
    parser.add_argument("--rounds", type=int, help="turns of each side that count")
    parser.add_argument(
        "--patience", type=int, default=PATIENCE, help="turns worked at most for one that counts"
    )
    parser.add_argument("--json", type=Path, default=RESULTS, help="where results go")
    asked = parser.parse_args(arguments)
    asked.models = _listed(parser, "--models", asked.models, SIZES)
    wanted = _listed(parser, "--only", asked.only, ROWS)
    asked.works = [work for work in WORKS if any(row.name in wanted for row in work.rows)]
    return asked


def _listed(
    parser: argparse.ArgumentParser, option: str, text: str, known: Sequence[str] | dict[str, Any]
) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"{option}: there is no {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def _begun(file: Path, machine: dict[str, Any]) -> dict[str, Any]:
    """What the file holds already, if it was measured here and with the same versions."""
    result = {"benchmark": "suite", "machine": machine, "rows": []}
    if not file.exists():
        return result
    earlier = read_json(file)
    if all(earlier["machine"][key] == machine[key] for key in SAME):
        return {**result, "rows": earlier["rows"]}
    _tell(f"{file} was measured elsewhere or with other versions: its rows are not kept")
    return result


def _interleaved(
    name: str, work: Work, rounds: int, asked: argparse.Namespace, peer: str
) -> dict[str, list[Answer]]:
    """Answers of all sides; goes on until each has enough undisturbed turns, or patience ends."""
    answers: dict[str, list[Answer]] = {label: [] for label in work.sides}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as alive:
        folder = Path(scratch)
        make_model(SIZES[name], folder / "model", skewed=work.skewed)
        sides: dict[str, Side] = {}

        def turn(label: str, number: int) -> None:
            answers[label].append(sides[label].turn())
            _tell_turn(f"{work.name} {name} round {number} {label}", answers[label][-1])

        # One after the other: what a side does once, before its first turn, is timed too.
        for label, command in work.sides.items():
            sides[label] = alive.enter_context(_side(name, command, peer, folder))
            turn(label, 0)
        for number in range(1, 1 + asked.patience * rounds):
            for label in [x for x in sides if len(undisturbed(answers[x])) < rounds]:
                turn(label, number)
    return answers


@contextmanager
def _side(name: str, command: Sequence[str], peer: str, folder: Path) -> Iterator[Side]:
    module, *options = command
    python = peer if module.endswith("_trl") else sys.executable
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        whole = [python, "-m", f"benchmarks.works.{module}", name, str(folder / "model"), scratch]
        environment = {
            **os.environ,
            "HF_DATASETS_CACHE": scratch,
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": str(usable_cpus()),
        }
        with Side([*whole, *options], environment, ROOT) as side:
            yield side


def _put(result: dict[str, Any], rows: list[dict[str, Any]], measured: dict[str, Any]) -> None:
    """Rows take the places of older ones and stand in the order of `ROWS`, by model."""
    found = {(row["model"], row["name"]): row for row in result["rows"]}
    found |= {(row["model"], row["name"]): {**row, "measured": measured} for row in rows}
    order = [(model, name) for model in SIZES for name in ROWS]
    result["rows"] = [found[key] for key in order if key in found]


def _write(file: Path, result: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, result)
    write_text(file.with_suffix(".md"), render(result))
    draw(result, file.with_suffix(".svg"))


def _tell_turn(what: str, answer: Answer) -> None:
    _tell(f"{what}: {answer['seconds']:.2f} s, {others(answer):.2f} CPUs busy with other work")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
