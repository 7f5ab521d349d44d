"""A run that is killed and resumed ends with the very bytes of a run that was not."""

import json
import signal
from pathlib import Path

import pytest
from chain import (
    STAGES,
    STEPS,
    checkpoints,
    final_checkpoint,
    finish,
    kill,
    kill_in,
    start,
    watch,
    weights,
    write_recipe,
)

from fairlead.lineage import verify
from fairlead.pipeline.recipe import load_recipe
from fairlead.pipeline.runner import run_recipe
from small_world import metrics_of

KILLED_AFTER = 33
"""Logged steps; the checkpoint before it is of step 30, in PPO 24, where a rollout batch began."""

FILES = {
    "sft": {"model.safetensors"},
    "reward": {"model.safetensors", "reward_head.safetensors"},
    "dpo": {"model.safetensors"},
    "ppo": {"model.safetensors", "value.safetensors"},
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="module")
def whole(recipe: Path) -> Path:
    """A run that was left alone."""
    out = recipe.parent / "whole"
    run_recipe(load_recipe(recipe), out)
    return out


@pytest.fixture(scope="module")
def died(recipe: Path) -> dict[str, int]:
    """Killed in every stage; how many steps each had logged, and where its checkpoint was."""
    out, found = recipe.parent / "killed", {}
    for stage in STAGES:
        options = () if stage == "sft" else ("--resume",)
        found[stage] = kill_in(stage, recipe, out, *options, after=KILLED_AFTER)
        found[f"{stage} checkpoint"] = checkpoints(out / "stages" / stage)[-1]
    found["started anew"] = finish(recipe, out, "--resume").count("unchanged, not run again")
    return found


@pytest.fixture(scope="module")
def resumed(recipe: Path, died: dict[str, int]) -> Path:
    assert died["started anew"] == 3  # of the four stages only the last was unfinished
    return recipe.parent / "killed"


@pytest.mark.parametrize("stage", STAGES)
def test_kill_came_in_the_middle(died: dict[str, int], stage: str) -> None:
    assert died[f"{stage} checkpoint"] == (24 if stage == "ppo" else 30)
    assert died[f"{stage} checkpoint"] + 2 < died[stage] < STEPS - 10
    assert died[stage] % 10 != 0


@pytest.mark.parametrize("stage", STAGES)
def test_final_weights_equal_bit_for_bit(whole: Path, resumed: Path, stage: str) -> None:
    got = weights(resumed / "stages" / stage)
    assert set(got) == FILES[stage]
    assert got == weights(whole / "stages" / stage)


@pytest.mark.parametrize("stage", STAGES)
def test_logged_numbers_are_equal(whole: Path, resumed: Path, stage: str) -> None:
    got = metrics_of(resumed / "stages" / stage)
    assert [line["step"] for line in got] == list(range(1, STEPS + 1))
    assert got == metrics_of(whole / "stages" / stage)


@pytest.mark.parametrize("stage", STAGES)
def test_last_checkpoint_is_equal(whole: Path, resumed: Path, stage: str) -> None:
    """Optimizer moments and the state of the source included."""
    assert final_checkpoint(resumed / "stages" / stage) == final_checkpoint(
        whole / "stages" / stage
    )


def test_the_kl_coefficient_moved_and_was_restored(whole: Path) -> None:
    coefficients = {
        line["policy/kl_coefficient"]
        for line in metrics_of(whole / "stages" / "ppo")
        if "policy/kl_coefficient" in line
    }
    assert len(coefficients) == 15  # one per rollout batch: resuming needs it
    newest = sorted((whole / "stages" / "ppo" / "checkpoints").glob("step-*"))[-1]
    state = json.loads((newest / "progress.json").read_text())["source"]
    assert state["kl_coefficient"] in coefficients and state["kl_coefficient"] != 0.1


def test_resumed_run_verifies(resumed: Path) -> None:
    assert verify(resumed).ok
    assert not [p for p in resumed.rglob(".*") if p.name != ".begun"]


def test_kill_before_the_first_checkpoint_starts_at_step_0(recipe: Path, whole: Path) -> None:
    short, out = write_recipe(recipe.parent, last="sft"), recipe.parent / "early"
    assert kill_in("sft", short, out, after=4) < 10
    assert checkpoints(out / "stages" / "sft") == []
    run_recipe(load_recipe(short), out, resume=True)
    assert weights(out / "stages" / "sft") == weights(whole / "stages" / "sft")
    assert metrics_of(out / "stages" / "sft") == metrics_of(whole / "stages" / "sft")


def test_kill_while_a_checkpoint_is_written(recipe: Path, whole: Path) -> None:
    short, out = write_recipe(recipe.parent, last="sft"), recipe.parent / "torn"
    stage = out / "stages" / "sft"

    def half_written() -> list[str]:
        return [p.name for p in (stage / "checkpoints").glob(".step-*")]

    process = start(short, out)
    while True:
        watch(process, lambda: bool(half_written()))
        process.send_signal(signal.SIGSTOP)
        if half_written():
            break
        process.send_signal(signal.SIGCONT)
    kill(process)
    assert len(half_written()) == 1
    run_recipe(load_recipe(short), out, resume=True)
    assert half_written() == []
    assert weights(stage) == weights(whole / "stages" / "sft")


def test_another_seed_gives_other_weights(recipe: Path, whole: Path) -> None:
    other = write_recipe(recipe.parent, seed=1, last="sft")
    out = recipe.parent / "other"
    run_recipe(load_recipe(other), out)
    assert weights(out / "stages" / "sft") != weights(whole / "stages" / "sft")


def test_two_runs_are_bitwise_equal(recipe: Path, whole: Path) -> None:
    again = recipe.parent / "again"
    run_recipe(load_recipe(recipe), again)
    for stage in STAGES:
        assert weights(again / "stages" / stage) == weights(whole / "stages" / stage)
        assert metrics_of(again / "stages" / stage) == metrics_of(whole / "stages" / stage)
