"""Reads what a run folder holds into one value that the report shows."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairlead.core.errors import DataError
from fairlead.core.files import read_json, read_lines
from fairlead.core.results import StageResult, read_result
from fairlead.lineage.manifest import Manifest, read
from fairlead.lineage.run import RunRecord, StageRecord, read_run


@dataclass(frozen=True)
class Curve:
    """One metric of a stage over its steps; nan where a step logged no finite number."""

    name: str
    steps: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    @property
    def gaps(self) -> int:
        """Steps whose value was not finite."""
        return sum(not math.isfinite(value) for value in self.values)


@dataclass(frozen=True)
class StageView:
    """A stage with everything its folder says about it."""

    record: StageRecord
    manifest: Manifest | None
    result: StageResult
    curves: list[Curve]
    settings: dict[str, Any]
    """The stage's settings, as its config.json holds them; empty where it has none."""
    notes: list[str]
    """The stage's own notes, then what the report could not read."""


@dataclass(frozen=True)
class RunView:
    """A run with all of its stages."""

    run: RunRecord
    stages: list[StageView]

    @property
    def seconds(self) -> float:
        """Wall-clock time of the run; the sum over its stages where it did not finish."""
        if self.run.finished is not None:
            return (self.run.finished - self.run.started).total_seconds()
        return sum(stage.record.seconds for stage in self.stages)

    @property
    def notes(self) -> list[tuple[str, str]]:
        """(stage, note) over all stages."""
        return [(stage.record.name, note) for stage in self.stages for note in stage.notes]


def read_view(run_dir: Path) -> RunView:
    """Reads a run folder.

    Raises:
        DataError: run.json or a result.json cannot be read.
    """
    run = read_run(run_dir)
    return RunView(run, [_read_stage(run_dir / stage.folder, stage) for stage in run.stages])


def read_curves(path: Path) -> tuple[list[Curve], list[str]]:
    """Reads a metrics.jsonl.

    Returns:
        One curve per numeric metric in order of appearance, and a sentence per kind of thing that
        could not be drawn, with its count.
    """
    curves: dict[str, Curve] = {}
    unreadable = others = 0
    for _, line in read_lines(path):
        entry = _entry(line)
        if entry is None:
            unreadable += 1
            continue
        step = entry.pop("step")
        for name, value in entry.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                others += 1
                continue
            curve = curves.setdefault(name, Curve(name))
            curve.steps.append(step)
            curve.values.append(float(value) if math.isfinite(value) else math.nan)
    return list(curves.values()), [*_counted(path.name, unreadable, others, curves)]


def _entry(line: str) -> dict | None:
    """The metrics of a line; None where it is not a JSON object with a numeric step."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("step"), int | float):
        return None
    return value


def _counted(file: str, unreadable: int, others: int, curves: dict[str, Curve]) -> Iterator[str]:
    if unreadable:
        yield f"{file}: {unreadable} lines could not be read; the curves leave them out."
    if others:
        yield f"{file}: {others} values are not numbers; the curves leave them out."
    for curve in curves.values():
        if curve.gaps:
            where = f"{curve.gaps} of {len(curve.steps)} steps"
            yield f"{file}: {curve.name} was not finite at {where}."


def _read_stage(folder: Path, record: StageRecord) -> StageView:
    manifest, problems = _read_manifest(folder, record)
    result = read_result(folder) if (folder / "result.json").exists() else StageResult()
    metrics = folder / "metrics.jsonl"
    curves, gaps = read_curves(metrics) if metrics.exists() else ([], [])
    notes = [*result.notes, *problems, *gaps]
    return StageView(record, manifest, result, curves, _read_settings(folder), notes)


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    config = read_json(path) if path.exists() else {}
    stage = config.get("stage") if isinstance(config, dict) else None
    return stage if isinstance(stage, dict) else {}


def _read_manifest(folder: Path, record: StageRecord) -> tuple[Manifest | None, list[str]]:
    """The manifest, or why there is none: a report must also show a run that went wrong."""
    try:
        return read(folder), []
    except DataError as error:
        return None, [f"Stage {record.status}: {error.what}."]
