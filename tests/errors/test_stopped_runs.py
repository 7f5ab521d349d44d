"""Runs that were killed, ran out of disk or lost a checkpoint, and how they go on."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairlead.core.files import read_json
from tiny_runs import TRAIN, fails, fairlead, flip, hashes, write_recipe

LONG = {"max_steps": 60, "epochs": 100, "checkpoint_every": 5, "keep_checkpoints": 3}
CHECKPOINTS = "stages/sft/checkpoints"

LIMITED = """
import resource, sys
from fairlead.cli.main import app
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
app(sys.argv[2:])
"""
"""The command line where no file may grow beyond a number of bytes, as on a disk that is full."""


def checkpoints(run: Path) -> list[Path]:
    return sorted((run / CHECKPOINTS).glob("step-*"))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and a run of it that was killed after two checkpoints."""
    folder = tmp_path_factory.mktemp("killed")
    recipe = write_recipe(folder, sft={"train": TRAIN | LONG})
    command = [sys.executable, "-m", "fairlead.cli.main", "run", recipe, "--out", folder / "run"]
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
    while len(checkpoints(folder / "run")) < 2 and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -9
    return folder


@pytest.fixture
def stopped(killed: Path, tmp_path: Path) -> Path:
    """A copy of the killed run."""
    shutil.copytree(killed / "run", tmp_path / "run")
    return tmp_path / "run"


def test_unfinished_run_asks_for_resume(killed: Path, stopped: Path):
    before = hashes(stopped)
    text = fails("run", killed / "tiny.yaml", "--out", stopped)
    assert "this folder holds a run that was stopped before its end" in text
    assert "remedy: add --resume to go on where it stopped, or choose another --out" in text
    assert hashes(stopped) == before
    assert "the run did not finish" in fairlead("verify", stopped).stdout


def test_killed_run_goes_on_from_its_checkpoint(killed: Path, stopped: Path):
    newest = int(checkpoints(stopped)[-1].name.removeprefix("step-"))
    first = (stopped / "stages/sft/metrics.jsonl").read_text().splitlines()[:newest]
    result = fairlead("run", killed / "tiny.yaml", "--out", stopped, "--resume")
    assert result.exit_code == 0, result.output
    assert "data: unchanged" in result.stderr
    lines = (stopped / "stages/sft/metrics.jsonl").read_text().splitlines()
    assert len(lines) == 60 and lines[:newest] == first
    assert fairlead("verify", stopped).exit_code == 0


@pytest.mark.parametrize("name", ["model/model.safetensors", "optimizer.pt", "progress.json"])
def test_damaged_checkpoint_is_named(killed: Path, stopped: Path, name: str):
    older, newest = checkpoints(stopped)[-2:]
    flip(newest / name)
    before = hashes(stopped / CHECKPOINTS)
    text = fails("run", killed / "tiny.yaml", "--out", stopped, "--resume")
    assert "a checkpoint is damaged" in text
    assert f"where: {newest}" in text and f"changed or missing: {name}" in text
    assert f"or remove it to go on from {older.name}; then --resume" in text
    assert hashes(stopped / CHECKPOINTS) == before


def test_the_remedy_for_a_damaged_checkpoint_works(killed: Path, stopped: Path):
    older, newest = checkpoints(stopped)[-2:]
    flip(newest / "optimizer.pt")
    shutil.rmtree(newest)
    kept = int(older.name.removeprefix("step-"))
    first = (stopped / "stages/sft/metrics.jsonl").read_text().splitlines()[:kept]
    result = fairlead("run", killed / "tiny.yaml", "--out", stopped, "--resume")
    assert result.exit_code == 0, result.output
    assert (stopped / "stages/sft/metrics.jsonl").read_text().splitlines()[:kept] == first


def test_checkpoints_of_other_settings_or_data_are_not_used(killed: Path, stopped: Path):
    """Same settings, other data: going on would mix two runs into one."""
    other = stopped.parent / "other.jsonl"
    rows = (killed / "pairs.jsonl").read_text().splitlines(keepends=True)
    other.write_text("".join(rows[:-1]))
    arguments = (f"data.path={other}", "--out", stopped, "--resume")
    result = fairlead("run", killed / "tiny.yaml", *arguments)
    assert result.exit_code == 0, result.output
    fresh = stopped.parent / "fresh"
    fairlead("run", killed / "tiny.yaml", f"data.path={other}", "--out", fresh)
    for stage in ("sft", "dpo"):
        model = f"stages/{stage}/model/model.safetensors"
        assert (stopped / model).read_bytes() == (fresh / model).read_bytes()


def test_full_disk(tmp_path: Path):
    """Records fit, a model does not; with room again the run goes on and nothing is done twice."""
    recipe, run = write_recipe(tmp_path), tmp_path / "run"
    command = [sys.executable, "-c", LIMITED, "100000", "run", recipe, "--out", run]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    text = " ".join(result.stderr.partition("error: ")[2].split())
    assert text.startswith("cannot write model: ") and "File too large" in text
    assert f"where: {run / CHECKPOINTS / '.step-00000001.'}" in text
    assert "MiB free on that disk" in text and "remedy: free some space" in text
    assert [s["status"] for s in read_json(run / "run.json")["stages"]] == ["complete", "failed"]
    assert checkpoints(run) == []
    before = hashes(run / "stages/data")
    again = fairlead("run", recipe, "--out", run, "--resume")
    assert again.exit_code == 0, again.output
    assert "data: unchanged, not run again" in again.stderr
    assert hashes(run / "stages/data") == before
    assert fairlead("verify", run).exit_code == 0


def test_full_disk_keeps_the_earlier_result(tmp_path: Path):
    recipe, run = write_recipe(tmp_path), tmp_path / "run"
    fairlead("run", recipe, "--out", run)
    before = hashes(run / "stages")
    change = "sft.train.learning_rate=0.5"
    command = [sys.executable, "-c", LIMITED, "100000", "run", recipe, change, "--out", run]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert result.returncode == 1 and "error: cannot write" in result.stderr
    assert hashes(run / "stages") == before
