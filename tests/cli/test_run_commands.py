import json
import shutil
from pathlib import Path

import pytest

from fairlead.core.files import read_json
from tiny_runs import fails, fairlead, flip, hashes, json_of, write_recipe


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with base model, data, recipe, and the run of the recipe."""
    folder = tmp_path_factory.mktemp("tiny")
    result = fairlead("run", write_recipe(folder), "--out", folder / "run")
    assert result.exit_code == 0, result.output
    assert "sft/held_out_nll" in result.stdout and "report: " in result.stdout
    return folder


@pytest.fixture
def copied(world: Path, tmp_path: Path) -> Path:
    """The same run in a folder of its own; the recipe still names the shared data."""
    shutil.copytree(world / "run", tmp_path / "run")
    return tmp_path / "run"


def cached(run: Path) -> dict[str, bool]:
    return {stage["name"]: stage["cached"] for stage in read_json(run / "run.json")["stages"]}


def test_dry_run_prints_the_plan_and_writes_nothing(world: Path, tmp_path: Path):
    before = hashes(world)
    arguments = (world / "tiny.yaml", "length=48", "dpo.objective.beta=0.25")
    result = fairlead("run", *arguments, "--dry-run", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "max_length: 48" in result.stdout and "beta: 0.25" in result.stdout
    assert str(world / "pairs.jsonl") in result.stdout.replace("\n", "")
    assert not (tmp_path / "run").exists()
    assert hashes(world) == before


def test_second_run_is_cached(world: Path, copied: Path):
    before = hashes(copied / "stages")
    result = fairlead("run", world / "tiny.yaml", "--out", copied)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("unchanged, not run again") == 3
    assert cached(copied) == {"data": True, "sft": True, "dpo": True}
    assert hashes(copied / "stages") == before


def test_changed_setting_reruns_that_stage_and_what_follows_from_it(world: Path, copied: Path):
    recipe = world / "tiny.yaml"
    plan = fairlead("run", recipe, "sft.train.learning_rate=2.0e-3", "--out", copied, "--dry-run")
    would = [line.split("│")[1:4] for line in plan.stdout.splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in would] == [
        ["data", "records", "keep"],
        ["sft", "sft", "run"],
        ["dpo", "preference", "run"],
    ]
    fairlead("run", recipe, "sft.train.learning_rate=2.0e-3", "--out", copied)
    assert cached(copied) == {"data": True, "sft": False, "dpo": False}
    fairlead("run", recipe, "sft.train.learning_rate=2e-3", "dpo.objective.beta=1", "--out", copied)
    assert cached(copied) == {"data": True, "sft": True, "dpo": False}


def test_changed_data_reruns_everything(world: Path, tmp_path: Path):
    recipe = write_recipe(tmp_path)
    fairlead("run", recipe, "--out", tmp_path / "run")
    pairs = (tmp_path / "pairs.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "pairs.jsonl").write_text("".join(pairs[1:]))
    fairlead("run", recipe, "--out", tmp_path / "run")
    assert cached(tmp_path / "run") == {"data": False, "sft": False, "dpo": False}


def test_verify_finds_a_changed_input(tmp_path: Path):
    recipe, run = write_recipe(tmp_path), tmp_path / "run"
    fairlead("run", recipe, "--out", run)
    result = fairlead("verify", run)
    assert result.exit_code == 0 and "every hash matches" in result.stdout
    flip(tmp_path / "pairs.jsonl")
    result = fairlead("verify", run)
    assert result.exit_code == 1
    assert f"data: {tmp_path / 'pairs.jsonl'}: input has changed" in result.stdout


@pytest.mark.parametrize(
    "name", ["stages/dpo/model/model.safetensors", "stages/data/train.jsonl", "run.json"]
)
def test_verify_finds_a_changed_output(copied: Path, name: str):
    assert json_of("verify", copied)["ok"] is True
    if name == "run.json":
        record = read_json(copied / name)
        record["stages"][1]["status"] = "failed"
        (copied / name).write_text(json.dumps(record))
    else:
        flip(copied / name)
    result = fairlead("verify", copied, "--json")
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["problems"]
    assert name.endswith(problem["file"])
    assert problem["file"] in fairlead("verify", copied).stdout


def test_report_has_named_estimates_with_intervals(world: Path):
    report = json_of("report", world / "run")
    (estimate,) = report["estimates"]
    fields = ["stage", "name", "value", "low", "high", "n", "method", "seed", "level"]
    assert list(estimate) == fields
    assert estimate["name"] == "sft/held_out_nll"
    assert estimate["low"] < estimate["value"] < estimate["high"]
    assert estimate["n"] == len((world / "run/stages/data/test.jsonl").read_text().splitlines())


def test_report_is_one_page(world: Path):
    result = fairlead("report", world / "run")
    page = Path(result.stdout.strip())
    assert page.is_file() and "sft/held_out_nll" in page.read_text()


def test_verify_and_report_of_nothing(tmp_path: Path):
    assert "run.json" in fails("verify", tmp_path)
    assert "run.json" in fails("report", tmp_path)


def test_out_that_is_a_file(world: Path, tmp_path: Path):
    (tmp_path / "run").write_text("mine")
    assert "remedy: " in fails("run", world / "tiny.yaml", "--out", tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"
