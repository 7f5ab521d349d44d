"""`let`, `${...}`, overrides and references."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import ConfigError
from fairlead.pipeline.recipe import Recipe, load_recipe, parse_recipe
from fairlead.pipeline.stages import PreferenceStage, RecordsStage, SFTStage

TEXT = """
name: small
seed: 3
let:
  data: {path: pairs.jsonl, parts: {train: 0.5, test: 0.5}}
  model: tiny
  length: 64
  root: data
stages:
  - {name: data, kind: records, path: "${root}/${data.path}", parts: "${data.parts}"}
  - name: sft
    kind: sft
    model: ${model}
    data: "@data/train.jsonl"
    max_length: ${length}
    train: &training {batch_size: 4}
  - {name: dpo, kind: preference, model: "@sft", data: "@data/train.jsonl", train: *training}
"""


@pytest.fixture
def load(tmp_path: Path):
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return lambda *overrides: load_recipe(path, overrides)


def stages(recipe: Recipe) -> tuple[RecordsStage, SFTStage, PreferenceStage]:
    data, sft, dpo = recipe.stages
    assert isinstance(data, RecordsStage)
    assert isinstance(sft, SFTStage)
    assert isinstance(dpo, PreferenceStage)
    return data, sft, dpo


def test_let_keeps_types_and_fills_in_texts(load):
    data, sft, _ = stages(load())
    assert data.path == "data/pairs.jsonl"
    assert data.parts == {"train": 0.5, "test": 0.5}
    assert (sft.model, sft.max_length) == ("tiny", 64)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed=7", ("seed", 7)),
        ("name=other", ("name", "other")),
        ("length=32", ("stages.1.max_length", 32)),
        ("model=@data", ("stages.1.model", "@data")),
        ("data.path=more.jsonl", ("stages.0.path", "data/more.jsonl")),
        ("data.parts={train: 0.9, test: 0.1}", ("stages.0.parts", {"train": 0.9, "test": 0.1})),
        ("data.parts.train=0.6", ("stages.0.parts", {"train": 0.6, "test": 0.5})),
        ("data.strict=true", ("stages.0.strict", True)),
        ("sft.train.learning_rate=1e-5", ("stages.1.train.learning_rate", 1e-5)),
        ("sft.lora.rank=4", ("stages.1.lora.rank", 4)),
        ("dpo.objective.beta=0.3", ("stages.2.objective.beta", 0.3)),
        ("dpo.reference=@sft", ("stages.2.reference", "@sft")),
        ("dpo.train.max_steps=null", ("stages.2.train.max_steps", None)),
    ],
)
def test_override(load, override: str, expected: tuple[str, Any]):
    place, value = expected
    found: Any = load(override).model_dump()
    for part in place.split("."):
        found = found[int(part)] if part.isdigit() else found[part]
    assert found == value


def test_override_changes_nothing_else(load):
    before, after = load().model_dump(), load("sft.train.batch_size=8").model_dump()
    assert after["stages"][1]["train"].pop("batch_size") == 8
    assert before["stages"][1]["train"].pop("batch_size") == 4
    assert after == before  # the anchor that dpo.train shares is not changed with it


def test_later_override_wins(load):
    assert load("seed=1", "seed=2").seed == 2


def test_value_of_let_comes_before_a_stage_of_that_name(load):
    data, _, _ = stages(load("data.path=a.jsonl", "root=b"))
    assert data.path == "b/a.jsonl"


@pytest.mark.parametrize(
    "override",
    ["sed=1", "data.pth.x=1", "nowhere.x=1", "stages.0.name=x", "let.length=3", "seed", "=3", ""],
)
def test_override_that_names_nothing(load, override: str):
    with pytest.raises(ConfigError):
        load(override)


def test_value_that_is_not_yaml(load):
    with pytest.raises(ConfigError, match="the value is not YAML"):
        load("sft.train={batch_size: ")


@given(st.integers(0, 2**31), st.integers(1, 10**6), st.floats(1e-9, 1.0))
def test_numbers_arrive_unchanged(tmp_path_factory, seed: int, steps: int, rate: float):
    path = tmp_path_factory.getbasetemp() / "numbers.yaml"
    path.write_text(TEXT)
    overrides = (f"seed={seed}", f"sft.train.max_steps={steps}", f"sft.train.learning_rate={rate}")
    recipe = load_recipe(path, overrides)
    _, sft, _ = stages(recipe)
    assert (recipe.seed, sft.train.max_steps, sft.train.learning_rate) == (seed, steps, rate)


def test_recipe_without_let(tmp_path: Path):
    path = tmp_path / "plain.yaml"
    value = {"name": "plain", "let": None, "stages": [{"name": "world", "kind": "testbed"}]}
    path.write_text(yaml.safe_dump(value))
    assert load_recipe(path).stages[0].name == "world"


def sft(name: str, model: str, data: str = "d.jsonl") -> dict[str, Any]:
    return {"kind": "sft", "name": name, "model": model, "data": data}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([sft("a", "@b"), sft("b", "m")], r"'a' refers to @b, which is no earlier stage"),
        ([sft("a", "@a")], r"'a' refers to @a, .* \(earlier: none\)"),
        ([sft("a", "m"), sft("b", "@c/model")], r"'b' refers to @c, .* \(earlier: a\)"),
        ([sft("a", "m"), sft("a", "m")], "two stages are called 'a'"),
        ([sft("A b", "m")], "String should match pattern"),
        ([sft("../a", "m")], "String should match pattern"),
        ([], "at least 1 item"),
    ],
)
def test_reference_rules(stages: list, message: str):
    with pytest.raises(ConfigError, match=message):
        parse_recipe({"name": "x", "stages": stages}, where="here")


def test_upstream_is_read_from_every_setting():
    stage = PreferenceStage(
        name="dpo", model="@sft", reference="@pretrain/model", data="@data/train.jsonl"
    )
    assert stage.upstream() == ["data", "pretrain", "sft"]


def test_outside_files_are_what_does_not_begin_with_at(tmp_path: Path):
    (tmp_path / "d.jsonl").write_text("")
    stage = SFTStage(name="sft", model="@base", data=str(tmp_path / "d.jsonl"))
    assert stage.files() == [tmp_path / "d.jsonl"]
