from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.core.estimates import NamedEstimate
from fairlead.core.files import write_json, write_text
from fairlead.lineage import (
    Inputs,
    RunRecord,
    StageRecord,
    StageResult,
    make_inputs,
    make_manifest,
    write,
    write_result,
    write_run,
)

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def finish(run_dir: Path, name: str, inputs: Inputs) -> StageRecord:
    folder = run_dir / "stages" / name
    write(
        folder, make_manifest(folder, inputs=inputs, device="cpu", seed=7, started=START, seconds=2)
    )
    return StageRecord(
        name=name, kind=name, folder=f"stages/{name}", seconds=2, status="complete", cached=False
    )


def make_small_run(root: Path) -> Path:
    """Stage `read` takes two files and a folder, stage `train` takes what `read` wrote."""
    run = root / "run"
    write_text(root / "feedback.jsonl", '{"a": 1}\n')
    write_text(root / "base" / "nested" / "weights.bin", "weights")
    write_text(run / "notes.txt", "inside the run")
    read = run / "stages" / "read"
    write_json(read / "config.json", {"kind": "read", "limit": 3})
    write_text(read / "records.jsonl", '{"r": 1}\n')
    files = [root / "feedback.jsonl", root / "base", run / "notes.txt"]
    first = finish(run, "read", make_inputs(run, files=files))
    train = run / "stages" / "train"
    write_json(train / "config.json", {"kind": "train"})
    write_text(train / "model" / "weights.bin", "abc")
    estimate = NamedEstimate(name="win", value=0.5, low=0.4, high=0.6, n=10, method="t")
    write_result(train, StageResult(estimates=(estimate,)))
    second = finish(run, "train", make_inputs(run, stages=["read"]))
    record = RunRecord(
        name="small", seed=7, started=START, finished=START, recipe={}, stages=(first, second)
    )
    write_run(run, record)
    return run


@pytest.fixture
def small_run(tmp_path: Path) -> Path:
    return make_small_run(tmp_path)
