import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from small_world import metrics_of
from tiny_runs import SMALL, fails, fairlead, json_of


def trained(kind: str, run: Path, *arguments) -> dict:
    result = fairlead("train", kind, *arguments, "--out", run)
    assert result.exit_code == 0, result.output
    assert f"{kind}: done in" in result.stderr
    report = json_of("report", run)
    assert [stage["status"] for stage in report["stages"]] == ["complete", "complete"]
    return {estimate["name"]: estimate for estimate in report["estimates"]}


def test_sft(base: Path, pairs: Path, tmp_path: Path):
    found = trained("sft", tmp_path, "--model", base, "--data", pairs, *SMALL)
    assert 4 < found["sft/held_out_nll"]["value"] < 7  # a vocabulary of a few hundred words
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "stages/sft/model")
    before = AutoModelForCausalLM.from_pretrained(base)
    weight = "model.embed_tokens.weight"
    assert not torch.equal(model.state_dict()[weight], before.state_dict()[weight])


def test_reward(reward_run: Path):
    report = json_of("report", reward_run)
    found = {estimate["name"]: estimate for estimate in report["estimates"]}
    accuracy = found["reward_model/accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert {"baseline/pick_longer", "baseline/pick_shorter"} < set(found)


def test_dpo(base: Path, pairs: Path, tmp_path: Path):
    settings = (*SMALL, "objective.beta=0.3")
    found = trained("dpo", tmp_path, "--model", base, "--data", pairs, *settings)
    assert 0 <= found["dpo/implicit_accuracy"]["value"] <= 1
    config = json.loads((tmp_path / "stages/dpo/config.json").read_text())
    assert config["stage"]["objective"]["beta"] == 0.3


def test_ppo(base: Path, pairs: Path, reward_run: Path, tmp_path: Path):
    reward = reward_run / "stages/reward/model"
    settings = (
        "rollouts.prompts=8",
        "rollouts.iterations=2",
        "rollouts.epochs=1",
        "rollouts.sampling.max_new_tokens=8",
        "require_eos=false",
    )
    arguments = ("--model", base, "--data", pairs, "--reward", reward, *settings)
    assert trained("ppo", tmp_path, *arguments) == {}
    lines = metrics_of(tmp_path / "stages/ppo")
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[0]["policy/kl_k1"] == 0.0  # it starts as its reference


def test_settings_of_reading_begin_with_data(base: Path, pairs: Path, tmp_path: Path):
    reading = ("data.format=preference", "data.parts={train: 0.5, test: 0.5}")
    trained("sft", tmp_path, "--model", base, "--data", pairs, *SMALL, *reading)
    config = json.loads((tmp_path / "stages/data/config.json").read_text())
    assert config["stage"]["format"] == "preference"
    assert config["stage"]["parts"] == {"train": 0.5, "test": 0.5}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epoch=2", "stages.1.sft.train.epoch: Extra inputs are not permitted"),
        ("train.epochs=many", "stages.1.sft.train.epochs: Input should be a valid integer"),
        ("train.epochs", "a setting has no '='"),
        ("train=3", "stages.1.sft.train"),
        ("max_length.x=3", "stages.1.sft.max_length: Input should be a valid integer"),
        ("data.fromat=auto", "stages.0.records.fromat: Extra inputs are not permitted"),
        ("train.epochs=[1", "the value is not YAML"),
    ],
)
def test_settings_that_do_not_fit(
    base: Path, pairs: Path, tmp_path: Path, setting: str, message: str
):
    run = tmp_path / "run"
    text = fails("train", "sft", "--model", base, "--data", pairs, "--out", run, setting)
    assert message in text and "remedy: " in text
    assert not run.exists()
