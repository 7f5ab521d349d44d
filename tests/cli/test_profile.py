"""`fairlead run --profile` says where the time went, and traces a few steps."""

import json
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.files import read_json
from fairlead.lineage import verify
from fairlead.pipeline.profile import read_profile
from fairlead.pipeline.recipe import load_recipe
from fairlead.pipeline.runner import BEGUN
from small_world import metrics_of, write_base, write_pairs
from tiny_runs import fairlead, hashes

PARTS = {
    "sft": {"load models", "data", "forward", "backward", "optimizer", "logging", "checkpoint"},
    "reward": {"load models", "data", "forward", "backward", "optimizer", "logging"},
    "dpo": {"score: reference", "forward", "backward", "optimizer", "logging"},
    "rl": {
        "generate",
        "score: reward",
        "score: reference",
        "score: policy",
        "forward",
        "backward",
        "optimizer",
    },
}


def write_recipe(folder: Path) -> Path:
    base, pairs = str(write_base(folder / "base")), str(write_pairs(folder / "pairs.jsonl", 60))
    train = {"batch_size": 8, "max_steps": 6, "learning_rate": 1e-3, "checkpoint_every": 2}
    rollouts = {"prompts": 4, "iterations": 3, "epochs": 2, "sampling": {"max_new_tokens": 8}}
    stages: list[dict[str, Any]] = [
        {"name": "data", "kind": "records", "path": pairs},
        {"name": "sft", "kind": "sft", "model": base, "train": train},
        {"name": "reward", "kind": "reward", "model": "@sft", "train": train},
        {"name": "dpo", "kind": "preference", "model": "@sft", "train": train},
        {
            "name": "rl",
            "kind": "rl",
            "model": "@sft",
            "reward": "@reward",
            "rollouts": rollouts,
            "train": {"learning_rate": 1e-3},
            "require_eos": False,
        },
    ]
    for stage in stages[1:]:
        stage["data"] = "@data/train.jsonl"
    path = folder / "profiled.yaml"
    path.write_text(json.dumps({"name": "profiled", "stages": stages}))
    load_recipe(path)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiled")
    result = fairlead("run", write_recipe(folder), "--out", folder / "run", "--profile")
    assert result.exit_code == 0, result.output
    (folder / "said.txt").write_text(result.stdout)
    return folder


@pytest.mark.parametrize("stage", PARTS)
def test_parts_add_up_to_the_stage(world: Path, stage: str):
    spent = read_profile(world / "run").stages[stage]
    assert sum(spent.parts.values()) == pytest.approx(spent.seconds, rel=1e-9)
    assert set(spent.parts) >= PARTS[stage]
    took = next(s for s in read_json(world / "run" / "run.json")["stages"] if s["name"] == stage)
    assert spent.seconds == pytest.approx(took["seconds"], rel=0.02, abs=0.02)


def test_stages_are_parts_of_the_run(world: Path):
    profile = read_profile(world / "run")
    assert list(profile.stages) == ["data", "sft", "reward", "dpo", "rl"]
    assert sum(profile.run.parts.values()) == pytest.approx(profile.run.seconds, rel=1e-9)
    for part, seconds in profile.run.parts.items():
        within = sum(stage.parts.get(part, 0.0) for stage in profile.stages.values())
        assert within <= seconds + 1e-9
    assert "generate" not in profile.stages["sft"].parts


@pytest.mark.parametrize("stage", PARTS)
def test_trace_holds_three_steps_and_their_sections(world: Path, stage: str):
    events = json.loads((world / "run/profile" / stage / "trace.json").read_text())["traceEvents"]
    names = [event["name"] for event in events if event.get("cat") == "user_annotation"]
    assert names.count("optimizer") == 3
    assert names.count("backward") >= 3
    # An online trace begins where replies are sampled: two updates for each of them.
    assert names.count("generate") == (2 if stage == "rl" else 0)


def test_table_is_printed_for_every_training_stage(world: Path):
    said = (world / "said.txt").read_text()
    titles = [line.strip() for line in said.splitlines() if line.strip() in {*PARTS, "whole run"}]
    assert titles == [*PARTS, "whole run"]
    assert said.count("100.0%") == 5
    assert f"trace: {world / 'run/profile/rl/trace.json'}" in said.replace("\n", "")


def test_results_do_not_depend_on_the_profile(world: Path, tmp_path: Path):
    assert verify(world / "run").ok
    fairlead("run", world / "profiled.yaml", "--out", tmp_path / "run")
    assert not (tmp_path / "run" / "profile").exists()
    for stage in PARTS:
        one, two = (folder / "run/stages" / stage for folder in (world, tmp_path))
        assert hashes(one / "model") == hashes(two / "model")
        assert metrics_of(one) == metrics_of(two)


def test_resumed_run_keeps_earlier_stages_and_times_the_rest(world: Path):
    run = world / "run"
    earlier = read_profile(run).stages
    # As a process leaves it that dies in the last stage: begun, checkpointed, no manifest.
    folder = run / "stages" / "rl"
    key = read_json(folder / "manifest.json")["key"]
    (folder / "manifest.json").unlink()
    (folder / BEGUN).write_text(key)
    result = fairlead("run", world / "profiled.yaml", "--out", run, "--resume", "--profile")
    assert result.exit_code == 0, result.output
    assert "rl (since it was resumed)" in result.stdout
    later = read_profile(run).stages
    assert {n: s for n, s in later.items() if n != "rl"} == {
        n: s for n, s in earlier.items() if n != "rl"
    }
    assert later["rl"].resumed and not earlier["rl"].resumed
    assert sum(later["rl"].parts.values()) == pytest.approx(later["rl"].seconds, rel=1e-9)
    events = json.loads((run / "profile" / "rl" / "trace.json").read_text())["traceEvents"]
    # Two of six steps were left.
    assert sum(e["name"] == "optimizer" and e.get("cat") == "user_annotation" for e in events) == 2
