"""The whole loop on the assistant's world, far too small to learn anything."""

from pathlib import Path
from typing import Any

import pytest

from fairlead.core.files import read_json
from fairlead.generation.sampling import Sampling
from fairlead.lineage import verify
from fairlead.pipeline.recipe import Recipe
from fairlead.pipeline.runner import run_recipe
from fairlead.pipeline.stages import (
    EvaluateStage,
    LabelStage,
    PreferenceStage,
    RewardStage,
    RLStage,
    SFTStage,
    TestbedStage,
)
from fairlead.records.files import read_records
from fairlead.report import report_json
from fairlead.training.config import TrainConfig
from fairlead.training.rollout_config import RolloutConfig

SAMPLING = Sampling(max_new_tokens=12)
TRAIN = TrainConfig(batch_size=16, learning_rate=1e-3, max_steps=4, checkpoint_every=2)
PROMPTS = 12


def evaluate(name: str, **changes: Any) -> EvaluateStage:
    settings: dict[str, Any] = {
        "baseline": "@sft",
        "policies": {"dpo": "@dpo", "ppo": "@ppo"},
        "data": "@world/test.jsonl",
        "reward": "@reward",
        "gold": "assistant",
        "samples": 2,
        "best_of": (2, 4),
        "sampling": SAMPLING,
    }
    return EvaluateStage(name=name, **(settings | changes))


def recipe() -> Recipe:
    labelled = {"data": "@label/train.jsonl", "test": "@label/test.jsonl", "train": TRAIN}
    return Recipe(
        name="small",
        seed=1,
        stages=(
            TestbedStage(
                name="world",
                corpus=200,
                demonstrations=100,
                train_prompts=24,
                test_prompts=PROMPTS,
            ),
            SFTStage(name="pretrain", model="@world", data="@world/corpus.jsonl", train=TRAIN),
            SFTStage(
                name="sft", model="@pretrain", data="@world/demonstrations.jsonl", train=TRAIN
            ),
            LabelStage(
                name="label",
                policy="@sft",
                train="@world/train.jsonl",
                test="@world/test.jsonl",
                sampling=SAMPLING,
            ),
            RewardStage(name="reward", model="@sft", **labelled),
            PreferenceStage(name="dpo", model="@sft", **labelled),
            RLStage(
                name="ppo",
                model="@sft",
                reward="@reward",
                data="@world/train.jsonl",
                rollouts=RolloutConfig(prompts=8, iterations=2, epochs=1, sampling=SAMPLING),
                train=TRAIN,
                require_eos=False,
            ),
            evaluate("evaluate"),
            evaluate("alone", policies={"same": "@sft"}, samples=1, best_of=(1,)),
        ),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "run"
    run_recipe(recipe(), folder)
    return folder


@pytest.fixture(scope="module")
def estimates(run: Path) -> dict[str, dict[str, Any]]:
    """Those of every stage but the last, which measures the baseline against itself."""
    stages = [stage["name"] for stage in report_json(run)["stages"][:-1]]
    return {e["name"]: e for stage in stages for e in found_by(run, stage)["estimates"]}


def found_by(run: Path, stage: str) -> dict[str, Any]:
    return read_json(run / f"stages/{stage}/result.json")


def test_every_hash_is_found_again(run: Path):
    verification = verify(run)
    assert verification.ok, str(verification)
    assert verification.stages == 9


def test_every_estimate_is_there_with_its_interval(estimates: dict[str, dict[str, Any]]):
    gains = {f"{j}_gain/{p}" for j in ("gold", "proxy") for p in ("dpo", "ppo", "best_of_n")}
    named = {"reward_model/accuracy", "reward_model/accuracy_ceiling", "dpo/implicit_accuracy"}
    assert gains | named <= set(estimates)
    for name in gains | named:
        found = estimates[name]
        assert found["low"] <= found["value"] <= found["high"]


def test_gains_are_paired_by_prompt(estimates: dict[str, dict[str, Any]]):
    assert estimates["gold_gain/dpo"]["n"] == PROMPTS
    assert -5 <= estimates["gold_gain/dpo"]["value"] <= 5  # gold worth lies in [-3, 2]


def test_ceiling_bounds_the_accuracy_of_a_perfect_judge(estimates: dict[str, dict[str, Any]]):
    assert 0.5 <= estimates["reward_model/accuracy_ceiling"]["value"] <= 1


def test_best_of_more_is_better_for_the_judge_that_picks(estimates: dict[str, dict[str, Any]]):
    assert estimates["proxy_gain/best_of_n"]["value"] > 0


def test_best_of_one_and_the_same_policy_gain_nothing(run: Path):
    gains = {e["name"]: e["value"] for e in found_by(run, "alone")["estimates"]}
    for judge in ("gold", "proxy"):
        assert gains[f"{judge}_gain/best_of_n"] == 0
        assert gains[f"{judge}_gain/same"] == 0


def test_same_policy_has_no_kl(run: Path):
    table = found_by(run, "alone")["tables"][0]
    place = table["columns"].index("KL to baseline (nats)")
    kl = {row[0]: row[place] for row in table["rows"]}
    assert kl["same"] == pytest.approx(0, abs=1e-5) and kl["baseline"] == pytest.approx(0, abs=1e-5)
    assert kl["best_of_n"] == 0  # log 1 - 0


def test_curves_begin_at_the_baseline_and_pass_the_checkpoints(run: Path):
    (figure,) = found_by(run, "evaluate")["figures"]
    series = {s["label"]: s for s in figure["series"]}
    assert {"dpo, gold", "ppo, proxy", "best-of-n, gold"} <= set(series)
    checkpoints = len(list((run / "stages/dpo/checkpoints").glob("step-*")))
    assert checkpoints == 1
    assert len(series["dpo, gold"]["x"]) == 1 + checkpoints + 1
    assert len(series["best-of-n, gold"]["x"]) == 3


def test_labels_are_comparisons_of_the_worlds_prompts(run: Path):
    asked = {p.messages for p in read_records(run / "stages/world/test.jsonl")}  # pyright: ignore
    labels = read_records(run / "stages/label/test.jsonl")
    assert {c.prompt.messages for c in labels} <= asked  # pyright: ignore
    assert all(c.prompt.provenance.annotator == "careful" for c in labels)  # pyright: ignore


def test_samples_show_every_policy(run: Path):
    samples = found_by(run, "evaluate")["samples"]
    assert len(samples) == 6
    policies = [reply["policy"] for reply in samples[0]["replies"]]
    assert policies == ["baseline", "dpo", "ppo", "best_of_n"]
