import math
from pathlib import Path

import pytest
from tests.small_world import metrics_of

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
AUDITS = sorted((FOLDER / "audits").glob("*.yaml"))
RECIPES = sorted({*FOLDER.glob("**/*.yaml")} - {*AUDITS})
METHODS = sorted((FOLDER / "methods").glob("*.yaml"))


def test_every_method_has_its_recipe_and_nothing_else_has():
    from fairlead.pipeline.methods import methods

    assert [path.stem for path in METHODS] == sorted(method.kind for method in methods())
    assert set(RECIPES) > set(METHODS)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_parses(path: Path):
    from fairlead.pipeline.recipe import load_recipe

    first, again = load_recipe(path, []), load_recipe(path, [])
    assert first == again


@pytest.mark.parametrize("path", AUDITS, ids=lambda path: path.stem)
def test_audit_recipe_parses(path: Path):
    from fairlead.cli.audit import audit_recipe

    recipe = audit_recipe("new", against="old", recipe=path, seed=None)
    assert [stage.kind for stage in recipe.stages] == ["audit"]


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_method_recipe_is_named_after_its_file_and_needs_nothing_from_outside(path: Path):
    from fairlead.pipeline.recipe import load_recipe

    recipe = load_recipe(path, [])
    assert recipe.name == path.stem
    assert [file for stage in recipe.stages for file in stage.files()] == []


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("methods")


@pytest.mark.slow
@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_method_recipe_runs(path: Path, shared: Path):
    """Recipes with the same world run in the same folder, so that its stages run once for all."""
    from fairlead.core.files import sha256_json
    from fairlead.lineage import read_result
    from fairlead.pipeline.recipe import load_recipe
    from fairlead.pipeline.runner import run_recipe

    recipe = load_recipe(path, [])
    folder = shared / sha256_json(recipe.stages[0].settings())[:12]
    run_recipe(recipe.model_copy(update={"name": "methods"}), folder, resume=True)
    results = [read_result(folder / "stages" / stage.name) for stage in recipe.stages]
    estimates = [estimate for result in results for estimate in result.estimates]
    assert estimates
    assert all(e.low <= e.value <= e.high for e in estimates)
    trained = [s for s in recipe.stages if (folder / "stages" / s.name / "metrics.jsonl").exists()]
    losses = [metrics_of(folder / "stages" / s.name)[-1]["loss/total"] for s in trained]
    assert all(map(math.isfinite, losses))
