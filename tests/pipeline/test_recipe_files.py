"""Every recipe of the repository, and the quickstart, as values."""

import json
from pathlib import Path

import pytest

from fairlead.pipeline.quickstart import quickstart
from fairlead.pipeline.recipe import Recipe, load_recipe, parse_recipe

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.yaml"))
ON_REAL_DATA = [path for path in RECIPES if "${data.path}" in path.read_text()]


@pytest.mark.parametrize("path", ON_REAL_DATA, ids=lambda path: path.stem)
def test_recipe_on_real_data_takes_a_path(path: Path):
    recipe = load_recipe(path, ["data.path=x.jsonl"])
    assert "x.jsonl" in {getattr(stage, "path", None) for stage in recipe.stages}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_file(path: Path):
    recipe = load_recipe(path, ["seed=5"])
    assert recipe.name == path.stem and recipe.seed == 5
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_quickstart_survives_json():
    recipe = quickstart(7)
    dumped = json.loads(json.dumps(recipe.model_dump(mode="json")))
    assert parse_recipe(dumped, where="test") == recipe
    assert recipe.seed == 7 and quickstart(8) != recipe


def test_quickstart_evaluates_what_it_trains():
    names = [stage.name for stage in quickstart().stages]
    assert names.index("sft") < names.index("reward") < names.index("evaluate")
    assert names[-2:] == ["evaluate", "audit"]
    evaluate, audit = quickstart().stages[-2:]
    assert set(evaluate.upstream()) <= set(names[:-2])
    assert set(audit.upstream()) == {"dpo", "sft", "reward", "label", "world"}
