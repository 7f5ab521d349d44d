import json
from pathlib import Path

import pytest

from small_world import comparisons
from tiny_runs import fails, fairlead, json_of


def evaluated(reward_run: Path, data: Path, *more) -> tuple[dict, dict]:
    found = json_of("evaluate", "reward", reward_run / "stages/reward/model", data, *more)
    return {estimate["name"]: estimate for estimate in found["estimates"]}, found


def test_comparisons_with_subsets(reward_run: Path, tmp_path: Path):
    rows = [
        {
            "prompt": c.prompt.first_user_turn,
            "chosen": c.chosen,
            "rejected": c.rejected,
            "subset": c.prompt.subset,
        }
        for c in comparisons(40, seed=3)
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    named, found = evaluated(reward_run, data)
    accuracy = named["reward_model/accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert found["subsets"][0]["subset"] == "all" and found["subsets"][0]["pairs"] == 40
    assert sum(row["pairs"] for row in found["subsets"][1:]) == 40
    assert {row["subset"] for row in found["subsets"][1:]} == {row["subset"] for row in rows}
    longer = [len(r["chosen"].split()) - len(r["rejected"].split()) for r in rows]
    decided = [d for d in longer if d]
    share = sum(d > 0 for d in decided) / len(decided)
    assert named["baseline/pick_longer"]["value"] == pytest.approx(share)
    assert named["baseline/pick_shorter"]["value"] == pytest.approx(1 - share)


def test_rankings(reward_run: Path, tmp_path: Path):
    row = {"prompt": "what is one plus one ?", "responses": ["two .", "one .", "three ."]}
    data = tmp_path / "ranked.jsonl"
    data.write_text(json.dumps({**row, "ranks": [0, 1, 1]}) + "\n")
    _, found = evaluated(reward_run, data)
    assert found["subsets"][0]["pairs"] == 2  # the two equal ranks are not compared


def test_labels_with_ties(reward_run: Path, tmp_path: Path):
    rows = [
        {
            "prompt": f"what is {n} ?",
            "response 1": "it is two .",
            "response 2": "two .",
            "label": label,
        }
        for n, label in (("one", 0), ("two", 1), ("three", 2), ("four", 0))
    ]
    data = tmp_path / "labels.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    named, found = evaluated(reward_run, data, "--format", "pairwise-label")
    assert found["subsets"][0]["pairs"] == 3 and found["ties"] == 1
    assert named["baseline/pick_longer"]["value"] == pytest.approx(2 / 3)


def test_text_is_a_table(reward_run: Path, pairs: Path):
    result = fairlead("evaluate", "reward", reward_run / "stages/reward/model", pairs)
    assert result.exit_code == 0, result.output
    assert "Reward-model accuracy" in result.stdout and "pick the longer" in result.stdout


def test_data_without_comparisons(reward_run: Path, tmp_path: Path):
    data = tmp_path / "demonstrations.jsonl"
    data.write_text(json.dumps({"prompt": "what is one ?", "response": "one ."}) + "\n")
    text = fails("evaluate", "reward", reward_run / "stages/reward/model", data)
    assert "comparisons or rankings" in text and "Demonstration" in text


def test_a_policy_is_no_reward_model(base: Path, pairs: Path):
    assert "holds no reward model" in fails("evaluate", "reward", base, pairs)
