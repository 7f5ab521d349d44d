"""The block `watch` of a recipe: what it reads, what the stage's result shows, what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.results import StageResult
from fairlead.lineage import read_result
from fairlead.models.loading import load_policy
from fairlead.pipeline.recipe import Recipe, parse_recipe
from fairlead.pipeline.runner import run_recipe
from fairlead.pipeline.stages import RLStage
from fairlead.records.files import write_records
from small_world import prompts, write_base, write_pairs

SHORT = {"max_new_tokens": 8}
WATCH = {"reward": {"kind": "gold"}, "every": 2, "samples": 2, "prompts": 12}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_base(folder / "model")
    write_pairs(folder / "pairs.jsonl", 16)
    write_records(folder / "held-out.jsonl", prompts(40)[20:])
    return folder


def stage(inputs: Path, **changes: Any) -> RLStage:
    settings: dict[str, Any] = {
        "name": "rl",
        "model": str(inputs / "model"),
        "reward": {"kind": "attribute", "attribute": "length"},
        "data": str(inputs / "pairs.jsonl"),
        "objective": {"kind": "grpo"},
        "rollouts": {"prompts": 4, "samples": 2, "iterations": 4, "sampling": SHORT},
        "train": {"learning_rate": 1e-3, "schedule": "constant"},
        "require_eos": False,
    }
    return RLStage.model_validate(settings | changes)


def watched(inputs: Path, **changes: Any) -> dict[str, Any]:
    return {"watch": {"data": str(inputs / "held-out.jsonl"), **WATCH, **changes}}


def done(run: Path, rl: RLStage) -> tuple[StageResult, Path]:
    run_recipe(Recipe(name="tiny", stages=(rl,)), run)
    return read_result(run / "stages" / "rl"), run / "stages" / "rl" / "model"


def weights(folder: Path) -> dict[str, list[Any]]:
    return {n: w.tolist() for n, w in load_policy(folder).model.state_dict().items()}


def test_what_a_watch_reads_is_upstream(inputs: Path):
    watch = {"reward": {"kind": "ensemble", "members": ["@a", "@b"]}, "data": "@world/test.jsonl"}
    rl = stage(inputs, watch=watch)
    assert rl.upstream() == ["a", "b", "world"]
    assert ("watch.data", "@world/test.jsonl") in rl.references()


@pytest.mark.parametrize("kind", ["grpo", "ppo", "dpo"])
def test_a_watched_stage_shows_its_looks_and_trains_as_unwatched(
    inputs: Path, tmp_path: Path, kind: str
):
    own = {"objective": {"kind": kind}}
    result, model = done(tmp_path / "watched", stage(inputs, **own, **watched(inputs)))
    _, plain = done(tmp_path / "plain", stage(inputs, **own))
    assert weights(model) == weights(plain)
    (figure,) = result.figures
    assert [series.label for series in figure.series] == ["held-out reward", "reward trained on"]
    (table,) = result.tables
    updates = [row[0] for row in table.rows]
    assert updates[:3] == [0, 2, 4] and len(updates) == len(figure.series[0].x)
    assert "ensemble spread" not in table.columns
    assert any("12 held-out prompts, 2 replies each" in note for note in result.notes)


def test_a_reward_that_samples_the_reference_is_known_on_held_out_prompts_too(
    inputs: Path, tmp_path: Path
):
    par = {"reward": {"kind": "par", "of": {"kind": "gold"}}}
    ensemble = {"kind": "ensemble", "members": [{"kind": "gold"}, {"kind": "gold"}]}
    result, model = done(tmp_path / "a", stage(inputs, **par, **watched(inputs, reward=ensemble)))
    _, plain = done(tmp_path / "b", stage(inputs, **par))
    assert weights(model) == weights(plain)
    (table,) = result.tables
    assert next(row[table.columns.index("ensemble spread")] for row in table.rows) == 0.0


def test_prompts_that_are_trained_on_are_counted(inputs: Path, tmp_path: Path):
    both = {"watch": {**WATCH, "data": str(inputs / "pairs.jsonl")}}
    result, _ = done(tmp_path / "run", stage(inputs, **both))
    assert "12 of the watched prompts are trained on too" in result.notes


def test_too_few_prompts_and_unknown_settings_are_refused(inputs: Path, tmp_path: Path):
    write_records(tmp_path / "one.jsonl", prompts(1))
    with pytest.raises(DataError, match="nothing to watch a run on"):
        done(tmp_path / "run", stage(inputs, **watched(inputs, data=str(tmp_path / "one.jsonl"))))
    raw = stage(inputs).model_dump(mode="json") | watched(inputs, stops=True)
    with pytest.raises(ConfigError, match="watch"):
        parse_recipe({"name": "faulty", "stages": [raw]}, where="faulty.yaml")
