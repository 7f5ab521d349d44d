"""What makes a stage run again, and what does not."""

import shutil
from pathlib import Path

import pytest

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.files import read_json
from fairlead.core.seeds import Seed
from fairlead.pipeline.recipe import Recipe, load_recipe
from fairlead.pipeline.runner import is_complete, run_recipe
from fairlead.pipeline.stage import Context
from small_world import write_base
from tiny_runs import hashes, write_recipe


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Path of a recipe, and its finished run."""
    folder = tmp_path_factory.mktemp("cache")
    path = write_recipe(folder)
    run_recipe(load_recipe(path), folder / "run")
    return path, folder / "run"


@pytest.fixture
def world(made: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The recipe, and a copy of its run."""
    shutil.copytree(made[1], tmp_path / "run")
    return made[0], tmp_path / "run"


def ran(recipe: Recipe, run: Path) -> list[str]:
    """Names of the stages that run again."""
    run_recipe(recipe, run)
    return [stage["name"] for stage in read_json(run / "run.json")["stages"] if not stage["cached"]]


def test_nothing_changed(world: tuple[Path, Path]):
    path, run = world
    recipe = load_recipe(path)
    assert all(is_complete(stage, recipe, run) for stage in recipe.stages)
    assert ran(recipe, run) == []


@pytest.mark.parametrize(
    ("override", "again"),
    [
        ("dpo.objective.beta=0.2", ["dpo"]),
        ("sft.max_length=50", ["sft", "dpo"]),
        ("length=60", []),
        ("dpo.train.max_steps=2", []),
        ("seed=1", ["data", "sft", "dpo"]),
    ],
)
def test_setting(world: tuple[Path, Path], override: str, again: list[str]):
    path, run = world
    assert ran(load_recipe(path, [override]), run) == again


def test_going_back_runs_again_and_gives_the_same(world: tuple[Path, Path]):
    path, run = world
    weights = run / "stages/dpo/model/model.safetensors"
    before = weights.read_bytes()
    assert ran(load_recipe(path, ["dpo.objective.beta=0.5"]), run) == ["dpo"]
    assert weights.read_bytes() != before
    assert ran(load_recipe(path), run) == ["dpo"]
    assert weights.read_bytes() == before


def test_touched_files_are_not_changed_files(world: tuple[Path, Path]):
    path, run = world
    (path.parent / "pairs.jsonl").touch()
    assert ran(load_recipe(path), run) == []


def test_other_base_model(world: tuple[Path, Path]):
    path, run = world
    other = write_base(run.parent / "other", seed=9)
    assert ran(load_recipe(path, [f"model.path={other}"]), run) == ["sft", "dpo"]


def test_same_path_with_other_weights(tmp_path: Path):
    path, run = write_recipe(tmp_path), tmp_path / "run"
    run_recipe(load_recipe(path), run)
    write_base(tmp_path / "base", seed=9)
    assert ran(load_recipe(path), run) == ["sft", "dpo"]


def test_removed_stage_folder_is_made_again_as_it_was(world: tuple[Path, Path]):
    path, run = world
    before = hashes(run / "stages/sft/model")
    for file in sorted((run / "stages/sft").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    assert "sft" in ran(load_recipe(path), run)
    assert hashes(run / "stages/sft/model") == before


def test_two_folders_hold_the_same_weights(world: tuple[Path, Path], tmp_path: Path):
    path, run = world
    run_recipe(load_recipe(path), tmp_path / "other")
    for stage in ("sft", "dpo"):
        assert hashes(run / f"stages/{stage}/model") == hashes(
            tmp_path / f"other/stages/{stage}/model"
        )


def test_nothing_hidden_is_left(world: tuple[Path, Path]):
    path, run = world
    run_recipe(load_recipe(path, ["sft.max_length=50"]), run)
    assert list(run.rglob(".*")) == []
    assert sorted(path.name for path in run.iterdir()) == ["report.html", "run.json", "stages"]


def test_context_reaches_files_models_and_records(world: tuple[Path, Path]):
    path, run = world
    context = Context(run, run / "stages/dpo", Seed(0), resume=False)
    assert context.path("@data/train.jsonl") == run / "stages/data/train.jsonl"
    assert context.model("@sft") == str(run / "stages/sft/model")
    assert context.model("@sft/checkpoints/x") == str(run / "stages/sft/checkpoints/x")
    assert context.model("org/model") == "org/model"
    parts = [len(context.records(f"@data/{part}.jsonl")) for part in ("train", "test")]
    assert sum(parts) == len(context.records(str(path.parent / "pairs.jsonl"))) == 60
    with pytest.raises(DataError, match="names no file of that stage"):
        context.records("@data/dev.jsonl")
    with pytest.raises(ConfigError, match="no_such is not installed"):
        context.model("package:no_such/model")
