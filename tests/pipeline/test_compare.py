"""Methods side by side: which stages a comparison has, and what it writes."""

from pathlib import Path
from typing import Any

import pytest
from tests.small_world import write_base, write_pairs

from fairlead.core.errors import ConfigError
from fairlead.core.files import read_json
from fairlead.pipeline.compare import compare, comparison_recipe
from fairlead.pipeline.recipe import Recipe, parse_recipe
from fairlead.report.comparison import write_comparison

SHORT = {"max_new_tokens": 8}


def recipe(model: str, data: str, **changes: Any) -> Recipe:
    train = {"batch_size": 8, "max_steps": 2, "learning_rate": 1e-3}
    pairs = {"kind": "preference", "model": model, "data": data, "train": train}
    rollouts = {"prompts": 4, "iterations": 2, "epochs": 1, "sampling": SHORT}
    stages = [
        {"kind": "sft", "name": "unused", "model": model, "data": data, "train": train},
        {"kind": "reward", "name": "reward", "model": model, "data": data, "train": train},
        pairs | {"name": "my-dpo", "objective": {"kind": "dpo", "beta": 0.2}},
        {
            "kind": "rl",
            "name": "ppo",
            "model": model,
            "reward": "@reward",
            "data": data,
            "rollouts": rollouts,
            "train": {"learning_rate": 1e-3, "schedule": "constant"},
            "require_eos": False,
        },
        {
            "kind": "evaluate",
            "name": "evaluate",
            "baseline": model,
            "policies": {"dpo": "@my-dpo", "ppo": "@ppo"},
            "data": data,
            "gold": "assistant",
            "samples": 1,
            "best_of": [],
            "curves": False,
            "sampling": SHORT,
        }
        | changes,
    ]
    return parse_recipe({"name": "tiny", "seed": 3, "stages": stages}, where="tiny")


def names(made: Recipe) -> list[str]:
    return [stage.name for stage in made.stages]


def stage(made: Recipe, name: str) -> Any:
    return next(stage for stage in made.stages if stage.name == name)


def test_only_what_the_methods_need_is_left():
    made = comparison_recipe(recipe("m", "d"), ["dpo"], None)
    assert names(made) == ["dpo", "evaluate"]
    assert stage(made, "dpo").objective.beta == 0.2
    assert stage(made, "evaluate").policies == {"dpo": "@dpo"}
    assert made.seed == 3


def test_shared_stages_come_first_and_methods_in_the_order_asked_for():
    made = comparison_recipe(recipe("m", "d"), ["ppo", "dpo"], None)
    assert names(made) == ["reward", "ppo", "dpo", "evaluate"]


def test_a_method_without_a_stage_is_made_from_anothers():
    made = comparison_recipe(recipe("m", "d"), ["kto", "ipo", "rloo"], None)
    assert names(made) == ["reward", "kto", "ipo", "rloo", "evaluate"]
    assert [stage(made, n).kind for n in ("kto", "ipo", "rloo")] == ["preference"] * 2 + ["rl"]
    assert stage(made, "ipo").objective.kind == "ipo"
    assert stage(made, "ipo").train.max_steps == 2
    rloo = stage(made, "rloo").rollouts
    assert (rloo.prompts, rloo.samples, rloo.credit.kind) == (4, 4, "leave_one_out")


def test_a_budget_is_given_to_the_methods_alone():
    made = comparison_recipe(recipe("m", "d"), ["ppo", "ipo"], 5000)
    spent = {s.name: s.train.max_token_passes for s in made.stages if hasattr(s, "train")}  # pyright: ignore
    assert spent == {"reward": None, "ppo": 5000, "ipo": 5000}


@pytest.mark.parametrize("method", ["dop", "bradley_terry", "xpo"])
def test_an_unknown_method_is_refused_with_the_known_ones(method: str):
    with pytest.raises(ConfigError, match=r"dpo, ppo") as caught:
        comparison_recipe(recipe("m", "d"), ["dpo", method], None)
    assert repr(method) in str(caught.value)


def test_a_recipe_without_an_evaluation_is_refused():
    whole = recipe("m", "d")
    bare = whole.model_copy(update={"stages": whole.stages[:-1]})
    with pytest.raises(ConfigError, match="exactly one stage of kind evaluate"):
        comparison_recipe(bare, ["dpo"], None)


@pytest.mark.slow
def test_two_methods_two_seeds_and_nothing_twice(tmp_path: Path):
    model, data = write_base(tmp_path / "model"), write_pairs(tmp_path / "pairs.jsonl", 12)
    tiny = recipe(str(model), str(data))
    folder, said = tmp_path / "out", list[str]()

    def again() -> Any:
        return compare(tiny, ["dpo", "grpo"], seeds=2, folder=folder, say=said.append)

    found = again()
    assert found.seeds == (3, 4) and found.judge == "gold" and found.budget is None
    assert {row.method for row in found.rows} == {"dpo", "grpo"}
    gains = [row.gains["gold"].value for row in found.rows]
    assert gains == sorted(gains, reverse=True)
    for row in found.rows:
        own = [seed["gold_gain"].value for seed in row.by_seed]
        assert row.gains["gold"].value == pytest.approx(sum(own) / 2)
        assert row.gains["gold"].n == 2 and row.token_passes and row.token_passes > 0
    assert sum("done in" in line for line in said) == 2 * len(("reward", "dpo", "grpo", "evaluate"))
    said.clear()
    second = again()
    assert len(said) == 8 and all("unchanged, not run again" in line for line in said)
    assert second.rows == found.rows

    page = write_comparison(found, folder)
    assert page.read_text().count("grpo") >= 2
    assert read_json(folder / "comparison.json")["seeds"] == [3, 4]
    assert (folder / "comparison.md").read_text().startswith("| method | gold gain |")
    assert (folder / "comparison.svg").read_text().startswith("<svg")
