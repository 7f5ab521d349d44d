import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
RECIPES = sorted(FOLDER.glob("**/*.yaml"))
METHODS = sorted((FOLDER / "methods").glob("*.yaml"))


def test_there_are_recipes():
    assert len(RECIPES) > len(METHODS) >= 14


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_parses(path: Path):
    from fairlead.pipeline.recipe import load_recipe

    first, again = load_recipe(path, []), load_recipe(path, [])
    assert first == again


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_method_recipe_is_named_after_its_file_and_needs_nothing_from_outside(path: Path):
    from fairlead.pipeline.recipe import load_recipe

    recipe = load_recipe(path, [])
    assert recipe.name == path.stem
    assert [file for stage in recipe.stages for file in stage.files()] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_method_recipe_runs(path: Path, tmp_path: Path):
    command = [sys.executable, "-m", "fairlead.cli.main", "run", str(path), "--out", str(tmp_path)]
    done = subprocess.run(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "report: " in done.stdout and "n=" in done.stdout  # estimates with their intervals
