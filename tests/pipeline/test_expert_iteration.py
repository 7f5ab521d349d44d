"""Rounds of sampling and imitation: what they leave, and that none is repeated."""

import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from fairlead.core.errors import DataError
from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import save_policy
from fairlead.models.policy import Policy
from fairlead.objectives.sft import SFT
from fairlead.pipeline import measuring
from fairlead.pipeline.hints import Hints
from fairlead.pipeline.rewards import GoldReward
from fairlead.pipeline.selection import Best, Correct
from fairlead.pipeline.stage import Context
from fairlead.pipeline.stages.expert_iteration import ExpertIterationStage
from fairlead.pipeline.stages.star import StarStage
from fairlead.records import Problem, Rating
from fairlead.records.files import read_records, write_records
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource
from small_world import demonstrations, items_of, prompts, tiny_policy
from tiny_runs import hashes

SETTINGS: dict[str, Any] = {
    "reward": GoldReward(world="assistant"),
    "threshold": -2.0,
    "rounds": 2,
    "samples": 4,
    "tries": 2,
    "sampling": Sampling(max_new_tokens=24),
    "train": TrainConfig(batch_size=8, max_steps=2, learning_rate=1e-3),
    "max_length": 60,
}


@cache
def speaker() -> Policy:
    """Has heard a few demonstrations, so that its replies end."""
    policy = tiny_policy()
    with TemporaryDirectory() as folder:
        learn(policy, 128, Path(folder))
    return policy


def learn(policy: Policy, examples: int, folder: Path) -> None:
    items = items_of(demonstrations(examples))
    source = DatasetSource(items, sequence_batch, 16, 4, 2048, Seed(0))
    train(policy, SFT(), source, TrainConfig(learning_rate=1e-2), seed=Seed(0), run_dir=folder)


def world(folder: Path) -> dict[str, str]:
    save_policy(speaker(), folder / "base")
    asked = prompts(24)
    write_records(folder / "train.jsonl", [Problem(prompt=p, answer="x") for p in asked[:16]])
    write_records(folder / "test.jsonl", asked[16:])
    write_records(folder / "sft.jsonl", demonstrations(40))
    return {
        "model": str(folder / "base"),
        "data": "@given/train.jsonl",
        "test": "@given/test.jsonl",
    }


def context(folder: Path, *, resume: bool = False) -> Context:
    given = folder / "run" / "stages" / "given"
    if not given.exists():
        given.mkdir(parents=True)
        for name in ("train", "test", "sft"):
            shutil.copy(folder / f"{name}.jsonl", given)
    return Context(folder / "run", folder / "run" / "stages" / "own", Seed(0), resume)


def values(result: StageResult) -> dict[str, float]:
    return {e.name: e.value for e in result.estimates}


def replies(folder: Path, name: str) -> list[Rating]:
    return [r for r in read_records(folder / name) if isinstance(r, Rating)]


def expert(folder: Path, **changes: Any) -> ExpertIterationStage:
    return ExpertIterationStage(name="own", **(SETTINGS | world(folder) | changes))


def test_every_round_leaves_its_samples_policy_and_numbers(tmp_path: Path):
    result = expert(tmp_path, select=Best()).run(context(tmp_path))
    own = tmp_path / "run/stages/own"
    for number in (1, 2):
        assert (own / f"round-{number}/model/model.safetensors").is_file()
        assert not (own / f"round-{number}/checkpoints").exists()
    assert hashes(own / "model") == hashes(own / "round-2/model")
    found = values(result)
    first = replies(own, "round-1/samples.jsonl")
    groups = {r.prompt.messages: [s for s in first if s.prompt == r.prompt] for r in first}
    solved = [any(s.value >= -2.0 for s in own) for own in groups.values()]
    assert found["accepted_prompts/round-1"] == sum(solved) / len(solved)
    gain = found["score/round-2"] - found["score/round-0"]
    assert found["score_gain/own"] == pytest.approx(gain)
    assert found["pass@2/round-1"] >= found["pass@1/round-1"]


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stage = expert(tmp_path, select=Best(), keep_earlier=True, replay="@given/sft.jsonl")
    whole = stage.run(context(tmp_path))
    own = tmp_path / "run/stages/own"
    before = hashes(own)
    for lost in ("model", "round-2/model", "round-2/round.json", "round-2/measured.json"):
        path = own / lost
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    sampled: list[int] = []
    sample = measuring.sample_replies

    def counting(*arguments: Any, **named: Any) -> Any:
        sampled.append(named["n"])
        return sample(*arguments, **named)

    monkeypatch.setattr(measuring, "sample_replies", counting)
    again = stage.run(context(tmp_path, resume=True))
    assert sampled == [2]  # the last measurement alone
    assert values(again) == values(whole)
    after = hashes(own)
    timed = [name for name in before if name.endswith("metrics.jsonl") or "tensorboard" in name]
    assert {n: h for n, h in after.items() if n not in timed and "events" not in n} == {
        n: h for n, h in before.items() if n not in timed and "events" not in n
    }


def test_rounds_may_start_from_the_base(tmp_path: Path):
    moved = {}
    for start in ("base", "previous"):
        folder = tmp_path / start
        folder.mkdir()
        expert(folder, start=start, select=Best()).run(context(folder))
        moved[start] = hashes(folder / "run/stages/own/round-2/model")["model.safetensors"]
    assert moved["base"] != moved["previous"]


def test_nothing_to_imitate_is_said(tmp_path: Path):
    with pytest.raises(DataError, match="no reply is worth imitating") as caught:
        expert(tmp_path, threshold=5.0).run(context(tmp_path))
    assert "score reaches 5.0" in str(caught.value)


def star(folder: Path, **changes: Any) -> StarStage:
    return StarStage(name="own", **(SETTINGS | world(folder) | {"threshold": -1.5} | changes))


def test_rationalised_replies_lose_the_hint(tmp_path: Path):
    stage = star(tmp_path, rounds=1, samples=8, select=Correct(cap=1), hints=Hints(phrases=()))
    stage.run(context(tmp_path))
    own = tmp_path / "run/stages/own"
    plain = replies(own, "round-1/samples.jsonl")
    told = replies(own, "round-1/rationalised.jsonl")
    solved = {s.prompt.messages for s in plain if s.value >= -1.5}
    assert told and not solved & {t.prompt.messages for t in told}
    asked = {p.prompt.messages for p in read_records(tmp_path / "train.jsonl")}  # pyright: ignore
    assert {t.prompt.messages for t in told} <= asked  # not the hinted prompts
    assert all(t.value >= -1.5 for t in told)


def test_hints_need_answers(tmp_path: Path):
    stage = star(tmp_path, data="@given/test.jsonl")
    with pytest.raises(DataError, match="the data holds none"):
        stage.run(context(tmp_path))


@pytest.mark.slow
def test_expert_iteration_beats_its_start(tmp_path: Path):
    settings = world(tmp_path)
    policy = tiny_policy()
    learn(policy, 600, tmp_path / "sft")
    save_policy(policy, tmp_path / "base")
    asked = prompts(300)
    write_records(tmp_path / "train.jsonl", asked[:200])
    write_records(tmp_path / "test.jsonl", asked[200:])
    stage = ExpertIterationStage(
        name="own",
        **settings,
        reward=GoldReward(world="assistant"),
        rounds=3,
        samples=8,
        select=Best(),
        sampling=Sampling(max_new_tokens=24),
        train=TrainConfig(batch_size=16, epochs=2, learning_rate=3e-3),
        max_length=60,
    )
    result = stage.run(context(tmp_path))
    gain = next(e for e in result.estimates if e.name == "score_gain/own")
    assert gain.low > 0, gain
