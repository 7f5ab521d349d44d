"""Faults in data and models: the stage says so, and what was finished before it stays."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.files import read_json
from fairlead.models.loading import load_tokenizer, save_policy, save_reward_model
from fairlead.models.policy import Policy
from small_world import tiny_llama, tiny_reward_model, tokenizer
from tiny_runs import SMALL, fails, fairlead, flip, hashes, write_recipe

PPO = ("rollouts.iterations=1", "rollouts.epochs=1", "rollouts.prompts=4", "require_eos=false")


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reward") / "model"
    save_reward_model(tiny_reward_model(), folder)
    return folder


def rows(path: Path, values: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def pairs(sizes: list[int], path: Path) -> Path:
    """Comparisons whose prompts have these many words."""
    return rows(
        path,
        [
            {"prompt": f"what is {n} " + "one " * size, "chosen": "one .", "rejected": "two ."}
            for n, size in enumerate(sizes)
        ],
    )


def kept_stages(run: Path) -> list[str]:
    """Stages of a failed run that are complete and whole."""
    problems = json.loads(fairlead("verify", run, "--json").stdout)["problems"]
    faulty = {p["stage"] for p in problems if p["file"] != "run.json"}
    return sorted(path.name for path in (run / "stages").iterdir() if path.name not in faulty)


def test_tokenizer_without_eos(finished: Path, run: Path, tmp_path: Path):
    base = tmp_path / "base"
    shutil.copytree(finished / "base", base)
    endless = load_tokenizer(base)
    endless.eos_token = None
    endless.save_pretrained(base)
    text = fails("run", finished / "tiny.yaml", f"model.path={base}", "--out", run)
    assert "the tokenizer has no EOS token" in text
    assert "remedy: set eos_token in tokenizer_config.json" in text
    assert kept_stages(run) == ["data", "dpo", "sft"]


def test_failed_attempt_takes_nothing_from_a_finished_run(finished: Path, run: Path):
    before = hashes(run / "stages")
    text = fails("run", finished / "tiny.yaml", "length=4", "--out", run)
    assert "no example is left after tokenising" in text and "raise max_length" in text
    assert hashes(run / "stages") == before
    assert "the stage is failed" in fairlead("verify", run).stdout
    result = fairlead("run", finished / "tiny.yaml", "--out", run, "--resume")
    assert result.stderr.count("unchanged, not run again") == 3
    assert fairlead("verify", run).exit_code == 0


def test_empty_data_file(finished: Path, tmp_path: Path):
    empty = rows(tmp_path / "empty.jsonl", [])
    text = fails("run", finished / "tiny.yaml", f"data.path={empty}", "--out", tmp_path / "run")
    assert f"where: {empty}" in text and "got: no rows" in text and "remedy: " in text
    text = fails("run", finished / "tiny.yaml", f"data.path={empty}", "--out", tmp_path / "run")
    assert "a run that was stopped before its end" in text and "add --resume" in text
    result = fairlead("run", finished / "tiny.yaml", "--out", tmp_path / "run", "--resume")
    assert result.exit_code == 0, result.output


def test_empty_split(finished: Path, tmp_path: Path):
    one = pairs([3], tmp_path / "one.jsonl")
    text = fails("run", finished / "tiny.yaml", f"data.path={one}", "--out", tmp_path / "run")
    assert "a part of the split is empty" in text and "got: no record of 1" in text
    assert "remedy: raise its fraction, use more data" in text


def test_data_of_another_kind(finished: Path, tmp_path: Path):
    said = [{"prompt": f"what is {n} ?", "response": "one ."} for n in range(40)]
    data = rows(tmp_path / "demonstrations.jsonl", said)
    text = fails("run", finished / "tiny.yaml", f"data.path={data}", "--out", tmp_path / "run")
    assert "the data holds no comparisons or rankings" in text and "Demonstration" in text
    assert kept_stages(tmp_path / "run") == ["data", "sft"]


def test_file_that_the_stage_did_not_write(finished: Path, run: Path):
    text = fails("run", finished / "tiny.yaml", "dpo.data=@data/trian.jsonl", "--out", run)
    assert "@data/trian.jsonl names no file of that stage" in text
    assert "expected: test.jsonl, train.jsonl" in text
    assert kept_stages(run) == ["data", "dpo", "sft"]


def test_malformed_row_outside_a_records_stage(finished: Path, run: Path, tmp_path: Path):
    """Only a records stage can count what it leaves out, so nothing is left out elsewhere."""
    good = {"prompt": "what is one ?", "chosen": "one .", "rejected": "two ."}
    data = rows(tmp_path / "bad.jsonl", [good, {"prompt": "what is two ?", "chosen": "two ."}])
    text = fails("run", finished / "tiny.yaml", f"dpo.data={data}", "--out", run)
    assert "malformed row" in text and "row 2" in text


def test_long_prompts_lose_their_beginning_and_are_counted(finished: Path, tmp_path: Path):
    data = pairs([3] * 30 + [100] * 30, tmp_path / "long.jsonl")
    result = fairlead("run", finished / "tiny.yaml", f"data.path={data}", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    (note,) = read_json(tmp_path / "run/stages/sft/result.json")["notes"]
    cut = int(note.split("; ")[1].split()[0])
    train = (tmp_path / "run/stages/data/train.jsonl").read_text().splitlines()
    assert cut == sum("one " * 100 in line for line in train)
    assert "0 dropped" in note


def ppo(base: Path, reward: Path, data: Path, run: Path, *more: str) -> list[Any]:
    named = ("--model", base, "--reward", reward, "--data", data, "--out", run)
    return ["train", "ppo", *named, *PPO, *more]


def test_some_prompts_leave_no_room_for_a_reply(finished: Path, reward_model: Path, tmp_path: Path):
    data = pairs([3] * 30 + [100] * 30, tmp_path / "long.jsonl")
    room = "rollouts.sampling.max_new_tokens=8"
    run = tmp_path / "run"
    result = fairlead(*ppo(finished / "base", reward_model, data, run, room))
    assert result.exit_code == 0, result.output
    train = (run / "stages/data/train.jsonl").read_text().splitlines()
    long = sum("one " * 100 in line for line in train)
    (note,) = read_json(run / "stages/ppo/result.json")["notes"]
    assert note.startswith(f"{len(train) - long} prompts; {long} left out")


def test_no_prompt_leaves_room_for_a_reply(finished: Path, reward_model: Path, tmp_path: Path):
    data = pairs([70] * 40, tmp_path / "long.jsonl")
    room = "rollouts.sampling.max_new_tokens=8"
    text = fails(*ppo(finished / "base", reward_model, data, tmp_path / "run", room))
    assert "every prompt is longer than the room for it" in text
    assert "expected: at most 56 tokens" in text and "remedy: use a model with a longer" in text
    assert kept_stages(tmp_path / "run") == ["data"]


def test_reply_longer_than_the_context(finished: Path, reward_model: Path, tmp_path: Path):
    data = pairs([3] * 40, tmp_path / "pairs.jsonl")
    room = "rollouts.sampling.max_new_tokens=64"
    text = fails(*ppo(finished / "base", reward_model, data, tmp_path / "run", room))
    assert "every prompt is longer than the room for it" in text and "lower max_new_tokens" in text


def test_prompt_beyond_the_context_when_sampling(finished: Path):
    text = fails("generate", finished / "base", "one " * 70, "--max-new-tokens", 8)
    assert "remedy: " in text


def test_reward_model_of_another_base(finished: Path, reward_model: Path, tmp_path: Path):
    stranger = tmp_path / "stranger"
    save_policy(Policy(tiny_llama(5), tokenizer(), base="stranger"), stranger)
    room = "rollouts.sampling.max_new_tokens=8"
    data = pairs([3] * 40, tmp_path / "pairs.jsonl")
    arguments = ppo(stranger, reward_model, data, tmp_path / "run", room)
    text = fails(*arguments)
    assert "the reward model was trained for another base model" in text
    assert "expected: base stranger got: base tiny" in text
    assert "set allow_other_base: true" in text
    assert kept_stages(tmp_path / "run") == ["data"]
    result = fairlead(*arguments, "allow_other_base=true", "--resume")
    assert result.exit_code == 0, result.output


def test_reward_model_in_place_of_a_policy(finished: Path, reward_model: Path, tmp_path: Path):
    data = pairs([3] * 40, tmp_path / "pairs.jsonl")
    named = ("--model", reward_model, "--data", data, "--out", tmp_path / "run")
    assert "holds a reward model, not a policy" in fails("train", "sft", *named, *SMALL)


def test_damaged_output_of_an_earlier_stage(finished: Path, run: Path):
    """A flipped bit in weights loads without complaint; the recorded hash tells."""
    flip(run / "stages/sft/model/model.safetensors", 0.9)
    before = hashes(run / "stages")
    text = fails("run", finished / "tiny.yaml", "dpo.objective.beta=0.2", "--out", run)
    assert "the outputs of stage 'sft' are damaged" in text
    assert "changed or missing: model/model.safetensors" in text
    assert f"remove {run / 'stages/sft'} and run again with --resume" in text
    assert hashes(run / "stages") == before
    shutil.rmtree(run / "stages/sft")
    arguments = ("run", finished / "tiny.yaml", "dpo.objective.beta=0.2", "--out", run)
    result = fairlead(*arguments, "--resume")
    assert result.exit_code == 0, result.output
    assert fairlead("verify", run).exit_code == 0


def test_model_file_that_is_cut_off(finished: Path, tmp_path: Path):
    base = tmp_path / "base"
    shutil.copytree(finished / "base", base)
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    text = fails("generate", base, "what is one ?")
    assert "the model files are damaged" in text and f"where: {base}" in text
    assert "remedy: restore the folder from a copy" in text


def test_unreadable_recipe_leaves_its_data(tmp_path: Path):
    recipe = write_recipe(tmp_path)
    before = hashes(tmp_path)
    fails("run", recipe, "sft.max_length=none", "--out", tmp_path / "run")
    assert hashes(tmp_path) == before
