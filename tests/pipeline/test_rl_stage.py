"""The stage `rl`: what an objective brings with it, what a recipe changes, what it builds on."""

from pathlib import Path
from typing import Any

import pytest
from tests.small_world import metrics_of, write_base, write_pairs

from fairlead.core.errors import ConfigError, DataError
from fairlead.lineage import read_result
from fairlead.pipeline.recipe import Recipe, parse_recipe
from fairlead.pipeline.runner import Recording, run_recipe
from fairlead.pipeline.stages import EvaluateStage, RLStage
from fairlead.training.rollout_config import KLControl, RolloutConfig

SHORT = {"max_new_tokens": 8}


def stage(kind: str = "ppo", rollouts: Any = None, **changes: Any) -> RLStage:
    settings: dict[str, Any] = {
        "name": "rl",
        "model": "@sft",
        "reward": "@reward",
        "data": "@world/train.jsonl",
        "objective": {"kind": kind},
        "rollouts": rollouts or {},
    }
    return RLStage.model_validate(settings | changes)


def test_an_objective_brings_its_own_rollouts():
    dapo = stage("dapo").rollouts
    assert dapo.credit.kind == "group"
    assert dapo.samples == 16 and dapo.epochs == 1 and dapo.kl.coefficient == 0
    assert dapo.dynamic_sampling is not None and dapo.dynamic_sampling.max_rounds == 10
    assert stage("nash_md").rollouts.opponent == 0.5
    assert stage("ppo_lagrangian").rollouts.reward_clip == 50


def test_objectives_on_pairs_sample_two_replies_and_xpo_one_beside_the_references():
    assert (stage("dpo").rollouts.samples, stage("xpo").rollouts.samples) == (2, 1)
    assert stage("dpo").rollouts.kl.coefficient == 0


@pytest.mark.parametrize(
    "given",
    [
        {"samples": 4, "kl": {"horizon": 5}},
        RolloutConfig(samples=4, kl=KLControl(horizon=5)),
    ],
    ids=["mapping", "value"],
)
def test_what_the_recipe_says_is_laid_over_it(given: Any):
    rollouts = stage("dapo", given).rollouts
    assert rollouts.samples == 4
    assert rollouts.kl == KLControl(coefficient=0.0, horizon=5)
    assert rollouts.credit.kind == "group" and rollouts.dynamic_sampling is not None


def test_settings_of_the_same_credit_are_merged_and_another_credit_replaces_it():
    same = stage("dr_grpo", {"credit": {"epsilon": 1e-3}}).rollouts.credit
    assert (same.kind, same.scale, same.epsilon) == ("group", "none", 1e-3)
    other = stage("dr_grpo", {"credit": {"kind": "leave_one_out"}}).rollouts.credit
    assert other.model_dump() == {"kind": "leave_one_out", "normalise": False}


def test_another_objective_keeps_the_recipes_settings_and_not_its_predecessors():
    ppo = stage("ppo", {"prompts": 8, "kl": {"coefficient": 0.2}, "sampling": SHORT})
    grpo = ppo.with_objective("grpo")
    assert grpo.objective.kind == "grpo" and grpo.name == ppo.name
    assert grpo.rollouts.credit.kind == "group" and grpo.rollouts.samples == 8
    assert grpo.rollouts.prompts == 8 and grpo.rollouts.sampling.max_new_tokens == 8
    assert grpo.rollouts.kl.coefficient == 0.2
    back = grpo.with_objective("nash_md")
    assert back.rollouts.samples == 1 and back.rollouts.opponent == 0.5
    assert back.rollouts.kl.coefficient == 0.2


def test_models_of_nested_rewards_are_upstream():
    nested = {
        "kind": "weighted",
        "parts": {
            "worth": {"of": {"kind": "ensemble", "members": ["@a", "@b/member-1/model"]}},
            "short": {"of": {"kind": "length_penalty", "of": {"kind": "par", "of": "@c"}}},
        },
    }
    assert stage(reward=nested).upstream() == ["a", "b", "c", "sft", "world"]
    costly = stage("ppo_lagrangian", cost={"kind": "clipped", "of": "@cost"})
    assert costly.upstream() == ["cost", "reward", "sft", "world"]


def test_models_of_costs_are_upstream_of_an_evaluation():
    costs = {"harm": "@cost", "words": {"kind": "attribute", "attribute": "length"}}
    evaluate = EvaluateStage.model_validate(
        {"name": "e", "baseline": "@sft", "policies": {}, "data": "@world/t.jsonl", "costs": costs}
    )
    assert evaluate.upstream() == ["cost", "sft", "world"]


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"reward": {"kind": "glod"}}, "stages.0.rl.reward"),
        ({"reward": {"kind": "par", "of": {"kind": "glod"}}}, "stages.0.rl.reward"),
        ({"objective": {"kind": "glod"}}, "stages.0.rl.objective"),
    ],
    ids=["reward", "nested reward", "objective"],
)
def test_an_unknown_kind_is_refused_with_its_place_and_the_known_ones(
    wrong: dict[str, Any], place: str
):
    raw = {"kind": "rl", "name": "rl", "model": "m", "reward": "r", "data": "d"}
    with pytest.raises(ConfigError) as caught:
        parse_recipe({"name": "faulty", "stages": [raw | wrong]}, where="faulty.yaml")
    text = str(caught.value)
    assert place in text and "'glod'" in text
    assert ("'gold'" in text) == ("reward" in wrong)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_base(folder / "model")
    write_pairs(folder / "pairs.jsonl", 16)
    return folder


def tiny(inputs: Path, kind: str = "grpo", rollouts: Any = None, **changes: Any) -> Recipe:
    drawn = {"prompts": 4, "iterations": 2, "sampling": SHORT} | (rollouts or {})
    trained = stage(
        kind,
        drawn,
        model=str(inputs / "model"),
        data=str(inputs / "pairs.jsonl"),
        reward={"kind": "gold"},
        train={"learning_rate": 1e-3, "schedule": "constant"},
        require_eos=False,
        **changes,
    )
    return Recipe(name="tiny", stages=(trained,))


@pytest.fixture(scope="module")
def recorded(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "run"
    run_recipe(tiny(inputs), folder, recording=Recording(record=True))
    return folder


def differences(run: Path) -> dict[str, tuple[Any, ...]]:
    (table,) = read_result(run / "stages/rl").tables
    return {str(row[0]): row[1:] for row in table.rows}


def test_an_unchanged_replay_differs_nowhere(inputs: Path, recorded: Path, tmp_path: Path):
    run_recipe(tiny(inputs), tmp_path / "again", recording=Recording(replay=recorded))
    found = differences(tmp_path / "again")
    assert set(found) == {"scores", "logps", "reference", "advantages", "returns"}
    assert found["scores"] == (64, 0.0, "none")  # 2 iterations of 4 prompts with 8 replies
    assert all(row[0] > 0 and row[1:] == (0.0, "none") for row in found.values())


def test_a_replay_with_another_credit_says_where_the_numbers_part(
    inputs: Path, recorded: Path, tmp_path: Path
):
    changed = tiny(inputs, rollouts={"credit": {"scale": "none"}})
    run_recipe(changed, tmp_path / "changed", recording=Recording(replay=recorded))
    found = differences(tmp_path / "changed")
    assert found["scores"][1:] == (0.0, "none")
    assert found["advantages"][1] > 0.01 and found["advantages"][2] == "0"
    # The first update moves the weights elsewhere, so the second batch is scored by others.
    assert found["logps"][2] == "1"


def test_a_replay_past_the_recordings_end_is_refused(inputs: Path, recorded: Path, tmp_path: Path):
    longer = tiny(inputs, rollouts={"iterations": 3})
    with pytest.raises(DataError, match="no such rollout batch"):
        run_recipe(longer, tmp_path / "longer", recording=Recording(replay=recorded))


def test_the_multiplier_rises_while_replies_cost_too_much(inputs: Path, tmp_path: Path):
    words = {"kind": "attribute", "attribute": "length"}
    limit = {"limit": 1.0, "rate": 0.1}
    run_recipe(tiny(inputs, "ppo_lagrangian", {"cost": limit}, cost=words), tmp_path / "run")
    lines = metrics_of(tmp_path / "run/stages/rl")
    assert lines[0]["reward/cost"] > 1.0
    assert 1.0 < lines[0]["policy/multiplier"] < lines[1]["policy/multiplier"]


def test_costs_are_measured_for_every_policy_and_the_baseline(inputs: Path, tmp_path: Path):
    evaluate = EvaluateStage.model_validate(
        {
            "name": "evaluate",
            "baseline": str(inputs / "model"),
            "policies": {"same": str(inputs / "model")},
            "data": str(inputs / "pairs.jsonl"),
            "gold": "assistant",
            "costs": {"words": {"kind": "attribute", "attribute": "length"}},
            "best_of": [],
            "curves": False,
            "sampling": SHORT,
        }
    )
    run_recipe(Recipe(name="costs", stages=(evaluate,)), tmp_path / "run")
    result = read_result(tmp_path / "run/stages/evaluate")
    found = {e.name: e for e in result.estimates}
    same, base = found["words_cost/same"], found["words_cost/baseline"]
    assert same.model_dump(exclude={"name"}) == base.model_dump(exclude={"name"})
    assert same.n == 16 and 0 < same.low <= same.value <= same.high
    assert same.value <= found["length/same"].value  # words are tokens, but full stops are not
    assert result.tables[0].columns[2] == "words cost"
    assert result.tables[0].rows[0][2] == pytest.approx(base.value)
