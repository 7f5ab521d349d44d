"""Rounds of a recipe: stages written once and run several times."""

from pathlib import Path

import pytest
import yaml

from fairlead.core.errors import ConfigError
from fairlead.pipeline.iterating import load_rounds
from fairlead.pipeline.recipe import Recipe, load_recipe
from fairlead.pipeline.unrolling import in_round

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def write(folder: Path, **changes: object) -> Path:
    rounds = {
        "count": "${times}",
        "before": {
            "policy": {"first": "${start}", "then": "@policy"},
            "labels": {"first": None, "then": "@label/train.jsonl"},
        },
        "stages": [
            {
                "name": "label",
                "kind": "label",
                "policy": "${before.policy}",
                "train": "@world/train.jsonl",
                "test": "@world/test.jsonl",
                "earlier": "${before.labels}",
            },
            {"name": "policy", "kind": "preference", "model": "@sft", "data": "@label/train.jsonl"},
            {
                "name": "evaluate",
                "kind": "evaluate",
                "baseline": "@sft",
                "policies": {"round-${round}": "@policy"},
                "data": "@world/test.jsonl",
            },
        ],
    }
    value = {
        "name": "loop",
        "let": {"start": "@sft", "times": 2},
        "stages": [
            {"name": "world", "kind": "testbed"},
            {"name": "sft", "kind": "sft", "model": "@world", "data": "@world/corpus.jsonl"},
        ],
        "rounds": rounds | changes,
    }
    path = folder / "loop.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


def stage(recipe: Recipe, name: str) -> dict:
    return next(one for one in recipe.stages if one.name == name).model_dump()


def test_each_round_has_stages_of_its_own_that_build_on_the_last(tmp_path: Path):
    recipe = load_recipe(write(tmp_path))
    assert [one.name for one in recipe.stages] == [
        *("world", "sft", "round-1-label", "round-1-policy", "round-1-evaluate"),
        *("round-2-label", "round-2-policy", "round-2-evaluate"),
    ]
    first, second = (stage(recipe, f"round-{n}-label") for n in (1, 2))
    assert (first["policy"], first["earlier"]) == ("@sft", None)
    assert second["policy"] == "@round-1-policy"
    assert second["earlier"] == "@round-1-label/train.jsonl"
    assert stage(recipe, "round-2-policy")["data"] == "@round-2-label/train.jsonl"
    assert stage(recipe, "round-2-policy")["model"] == "@sft"
    assert stage(recipe, "round-2-evaluate")["policies"] == {"round-2": "@round-2-policy"}


def test_rounds_may_be_counted_from_outside_and_the_first_ones_stay_the_same(tmp_path: Path):
    path = write(tmp_path)
    two, four = load_recipe(path), load_recipe(path, rounds=4)
    assert four.stages[: len(two.stages)] == two.stages
    assert len(four.stages) == len(two.stages) + 6
    assert load_recipe(path, ["times=4"]) == four == load_rounds(path, [], 4)


def test_an_override_of_a_repeated_stage_holds_in_every_round(tmp_path: Path):
    recipe = load_recipe(write(tmp_path), ["label.samples=7"])
    assert [stage(recipe, f"round-{n}-label")["samples"] for n in (1, 2)] == [7, 7]


def test_only_references_to_repeated_stages_are_put_into_a_round():
    value = {"a": ["@x", "@x/f", "@xy", "x", 3], "b": {"c": "@y/z"}}
    expected = {"a": ["@round-2-x", "@round-2-x/f", "@xy", "x", 3], "b": {"c": "@y/z"}}
    assert in_round(value, 2, ["x"]) == expected


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 0}, "count: Input should be greater than 0"),
        ({"stages": []}, "every stage of a round needs a name"),
        ({"stages": [{"kind": "sft"}]}, "every stage of a round needs a name"),
        ({"before": {"policy": {"first": "@sft"}}}, "before.policy.then: Field required"),
        ({"often": 3}, "often: Extra inputs are not permitted"),
    ],
)
def test_a_malformed_section_is_refused(tmp_path: Path, changes, words):
    with pytest.raises(ConfigError, match=words):
        load_recipe(write(tmp_path, **changes))


def test_a_recipe_without_rounds_cannot_be_iterated():
    with pytest.raises(ConfigError, match="no rounds"):
        load_rounds(RECIPES / "lagrangian.yaml", [])
    with pytest.raises(ConfigError, match="no rounds"):
        load_rounds(RECIPES / "lagrangian.yaml", [], 2)


def test_the_recipe_of_rounds_labels_replies_of_the_last_policy():
    recipe = load_rounds(RECIPES / "iterate.yaml", [], 3)
    policies = [stage(recipe, f"round-{n}-label")["policy"] for n in (1, 2, 3)]
    assert policies == ["@sft", "@round-1-policy", "@round-2-policy"]
    assert {stage(recipe, f"round-{n}-policy")["model"] for n in (1, 2, 3)} == {"@sft"}
