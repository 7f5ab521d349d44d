"""Runs with one thing wrong, really trained: the diagnosis must name it."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import TrainingError
from fairlead.core.seeds import Seed
from fairlead.pipeline.recipe import Recipe
from fairlead.pipeline.runner import run_recipe
from fairlead.report.diagnose import Diagnosis, Fault, Verdict, diagnose
from small_world import comparisons, demonstrations, write_base

TRAIN = {"batch_size": 16, "epochs": 4, "microbatch_tokens": 4096}
CHANGES: dict[str, dict[str, Any]] = {
    "sft": {"learning_rate": 1e-2},
    "reward": {"learning_rate": 3e-3},
    "rl": {"learning_rate": 1e-3, "schedule": "constant"},
}


def pairs(n: int, seed: int, *, shuffled: bool = False) -> list[dict[str, str]]:
    """The ideal speaker's reply is preferred to the mediocre one's, or either at random."""
    random = Seed(seed).child("shuffle").numpy()
    made: list[dict[str, str]] = []
    for record in comparisons(n, seed):
        replies = [record.chosen, record.rejected]
        if shuffled and random.random() < 0.5:
            replies.reverse()
        prompt = record.prompt.first_user_turn
        made.append({"prompt": prompt, "chosen": replies[0], "rejected": replies[1]})
    return made


def write(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def told(n: int) -> list[dict[str, str]]:
    return [
        {"prompt": r.prompt.first_user_turn, "completion": r.response} for r in demonstrations(n)
    ]


def recipe(folder: Path, *, shuffled: bool = False, **changes: dict[str, Any]) -> Recipe:
    """SFT, a reward model and PPO; changes are settings of `train`."""
    base = str(write_base(folder / "base"))
    demos = write(folder / "demonstrations.jsonl", told(256))
    train = write(folder / "train.jsonl", pairs(256, 1, shuffled=shuffled))
    test = write(folder / "test.jsonl", pairs(150, 2))
    rollouts = {
        "prompts": 48,
        "iterations": 14,
        "epochs": 2,
        "minibatches": 2,
        "kl": {"coefficient": 0.02},
        "sampling": {"max_new_tokens": 16},
    }
    settings = {name: TRAIN | CHANGES[name] | changes.get(name, {}) for name in CHANGES}
    stages = (
        {"kind": "sft", "model": base, "data": demos},
        {"kind": "reward", "model": "@sft", "data": train, "test": test, "max_length": 60},
        {
            "kind": "rl",
            "model": "@sft",
            "reward": "@reward",
            "data": train,
            "rollouts": rollouts,
            "require_eos": False,
        },
    )
    named = [s | {"name": s["kind"], "train": settings[str(s["kind"])]} for s in stages]
    return Recipe.model_validate({"name": "planted", "stages": named})


def run(folder: Path, **changes: Any) -> Diagnosis:
    out = folder / "run"
    with suppress(TrainingError):  # a run that stops itself is diagnosed all the same
        run_recipe(recipe(folder, **changes), out)
    return diagnose(out)


def bad(diagnosis: Diagnosis) -> set[str]:
    return {f.what for f in diagnosis.findings if f.verdict is Verdict.BAD}


@pytest.mark.slow
def test_nothing_is_found_in_a_run_that_learns(tmp_path: Path) -> None:
    diagnosis = run(tmp_path)
    assert bad(diagnosis) == set()
    assert diagnosis.fault is Fault.NONE


@pytest.mark.slow
def test_shuffled_labels_are_found_in_the_reward_model(tmp_path: Path) -> None:
    diagnosis = run(tmp_path, shuffled=True)
    assert diagnosis.fault is Fault.REWARD_MODEL
    assert "accuracy on held-out pairs (lower bound)" in bad(diagnosis)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e-7, 3.0])
def test_sft_that_learnt_too_little_or_was_torn_apart_is_found(tmp_path: Path, rate: float) -> None:
    assert run(tmp_path, sft={"learning_rate": rate}).fault is Fault.SFT


@pytest.mark.slow
def test_a_policy_that_rl_tore_apart_is_found(tmp_path: Path) -> None:
    diagnosis = run(tmp_path, rl={"learning_rate": 0.1})
    assert diagnosis.fault is Fault.RL
