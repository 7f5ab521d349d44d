"""A watched run: it trains as if unwatched, sees a fall, stops, and goes back to the best look."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rollout_tools import NEW_TOKENS, make, start
from torch import Tensor

from fairlead.core.errors import CheckpointError
from fairlead.core.seeds import Seed
from fairlead.generation.divergence import log_ratios
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import Lora, load_policy
from fairlead.models.policy import Policy
from fairlead.objectives.ppo import PPO
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward
from fairlead.stats.looks import best_look
from fairlead.training.checkpoints import complete_checkpoints
from fairlead.training.config import TrainConfig
from fairlead.training.loop import KEPT, train
from fairlead.training.source import Ranks
from fairlead.training.watch import MEASURES, Watch, WatchConfig
from small_world import metrics_of, prompt_ids, prompts

STEPS = 12


def words(prompt: Prompt, text: str) -> float:
    return float(len(text.split()))


def brevity(prompt: Prompt, text: str) -> float:
    """Falls as the reward that is trained on rises."""
    return -float(len(text.split()))


def watch_of(policy: Policy, *, asked: int = 40, **config: Any) -> Watch:
    records = prompts(asked)
    return Watch(
        policy,
        reference=None if policy.adapts else policy.frozen_copy(),
        held_out=FunctionReward(config.pop("held_out", brevity)),
        proxy=FunctionReward(words),
        prompts=prompt_ids(records),
        records=records,
        sampling=Sampling(max_new_tokens=NEW_TOKENS),
        config=WatchConfig.model_validate({"every": 2, "samples": 4, **config}),
        seed=Seed(3).child("watch"),
    )


def run(
    taught: dict[str, Tensor], folder: Path, watched: dict[str, Any] | None, *, resume: bool = False
) -> tuple[Policy, Watch | None]:
    policy = start(taught)
    source = make(policy, iterations=STEPS, samples=2, kl={"coefficient": 0.0})
    watch = None if watched is None else watch_of(policy, **watched)
    train(
        policy,
        PPO(),
        source,
        TrainConfig(learning_rate=2e-2, schedule="constant", checkpoint_every=3, log_every=5),
        seed=Seed(1),
        run_dir=folder,
        require_eos=False,
        resume=resume,
        watcher=watch,
    )
    return policy, watch


def same(a: Policy, b: Policy) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(x, theirs[name]) for name, x in a.state_dict().items())


@pytest.fixture(scope="module")
def unwatched(taught: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return run(taught, tmp_path_factory.mktemp("unwatched"), None)[0]


@pytest.fixture(scope="module")
def noted(
    taught: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Policy, Watch, Path]:
    folder = tmp_path_factory.mktemp("noted")
    policy, watch = run(taught, folder, {})
    assert watch is not None
    return policy, watch, folder


def test_looking_changes_nothing_in_training(unwatched: Policy, noted: tuple[Policy, Watch, Path]):
    assert same(noted[0], unwatched)


def test_looks_are_at_the_start_every_so_often_and_at_the_end(noted: tuple[Policy, Watch, Path]):
    _, watch, folder = noted
    assert [look.step for look in watch.looks] == [0, 2, 4, 6, 8, 10, 12]
    logged = [line for line in metrics_of(folder) if "watch/held_out" in line]
    assert [line["step"] for line in logged] == [0, 2, 4, 6, 8, 10, 12]
    for look, line in zip(watch.looks, logged, strict=True):
        assert line["watch/held_out"] == look.of("held_out").mean()
        assert "watch/spread" not in line


def test_a_look_measures_what_it_says(noted: tuple[Policy, Watch, Path]):
    policy, watch, _ = noted
    last = watch.looks[-1]
    assert np.array_equal(last.of("held_out"), -last.of("proxy"))
    assert watch.looks[0].of("kl").tolist() == [0.0] * 40
    own = [watch.prompts[i][1] for i in range(40)]
    again = watch.engine.sample(own, watch.sampling, n=4, seed=watch.seed)
    replies = [[r.tokens for r in again[k : k + 4]] for k in range(0, 160, 4)]
    moved, said = log_ratios(policy, watch.reference, own, replies)
    assert last.of("kl") == pytest.approx(moved.mean(1).numpy(), abs=1e-5)
    assert last.of("entropy") == pytest.approx(said.entropies.mean(1).numpy(), abs=1e-5)
    sampled = np.array([[sum(r.logps) for r in again[k : k + 4]] for k in range(0, 160, 4)])
    assert said.logps.numpy() == pytest.approx(sampled, abs=1e-3)
    lengths = [np.mean([len(t) for t in group]) for group in replies]
    assert last.of("length").tolist() == lengths
    assert np.isnan(last.of("spread")).all()


def test_processes_share_a_look(taught: dict[str, Tensor]):
    policy = start(taught)
    whole, halves = watch_of(policy), [watch_of(policy) for _ in range(2)]
    parts: list[Tensor] = []
    for index, half in enumerate(halves):
        half.look(0, Ranks(index, 2, lambda x: parts.append(x.clone()) or x))
    whole.look(0, Ranks())
    both = (parts[0] + parts[1]).numpy()
    rows = [MEASURES.index(m) for m in ("held_out", "proxy", "length")]
    assert np.array_equal(both[rows], whole.looks[0].table[rows])


def test_adapters_are_held_against_the_model_without_them(taught: dict[str, Tensor]):
    policy = start(taught, lora=Lora(rank=2))
    watch = watch_of(policy, asked=6)
    watch.look(0, Ranks())
    for name, weight in policy.model.named_parameters():
        if "lora_B" in name:
            weight.data += 0.3
    watch.look(2, Ranks())
    assert watch.looks[0].of("kl").tolist() == [0.0] * 6
    assert watch.looks[1].of("kl").mean() > 0


def test_the_fall_is_noted_where_the_run_goes_on(noted: tuple[Policy, Watch, Path]):
    _, watch, folder = noted
    assert watch.fall is not None and not watch.finished
    assert watch.fall.most < 0 < watch.fall.rise
    assert not (folder / KEPT).exists()


def test_the_run_stops_and_goes_back_to_the_best_look(
    taught: dict[str, Tensor], noted: tuple[Policy, Watch, Path], tmp_path: Path
):
    policy, watch = run(taught, tmp_path, {"stop": True})
    seen = noted[1]
    assert watch is not None and watch.finished and seen.fall is not None
    assert watch.looks[-1].step == seen.looks[seen.fall.at].step < STEPS
    assert watch.best == seen.looks[best_look(seen.series("held_out")[: seen.fall.at + 1])].step
    # Brevity only falls, so the start is the best look.
    assert watch.best == 0
    fresh = start(taught)
    saved = load_policy(tmp_path / "model")
    for name, weight in fresh.model.state_dict().items():
        assert torch.equal(policy.model.state_dict()[name], weight)
        assert torch.equal(saved.model.state_dict()[name], weight)
    assert not (tmp_path / KEPT).exists()


def test_without_a_fall_the_last_policy_is_kept(
    taught: dict[str, Tensor], unwatched: Policy, tmp_path: Path
):
    policy, watch = run(taught, tmp_path, {"stop": True, "held_out": words})
    assert watch is not None and watch.fall is None
    assert same(policy, unwatched)
    assert not (tmp_path / KEPT).exists()


class Died(Exception):
    pass


@pytest.mark.parametrize("dies_after", [5, 8])
def test_a_resumed_watch_ends_as_one_that_never_stopped(
    taught: dict[str, Tensor],
    noted: tuple[Policy, Watch, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dies_after: int,
):
    look = Watch.look

    def until(self: Watch, done: int, ranks: Ranks, *, last: bool = False) -> dict[str, float]:
        if done == dies_after:
            raise Died
        return look(self, done, ranks, last=last)

    with monkeypatch.context() as patched:
        patched.setattr(Watch, "look", until)
        with pytest.raises(Died):
            run(taught, tmp_path, {})
    policy, watch = run(taught, tmp_path, {}, resume=True)
    whole, seen, folder = noted
    assert watch is not None
    assert same(policy, whole)
    assert watch.fall == seen.fall
    for a, b in zip(watch.looks, seen.looks, strict=True):
        assert a.step == b.step
        assert np.array_equal(a.table, b.table, equal_nan=True)
    untimed = [
        [{k: v for k, v in line.items() if not k.startswith("time/")} for line in metrics_of(f)]
        for f in (tmp_path, folder)
    ]
    assert untimed[0] == untimed[1]


def test_weights_are_kept_for_whichever_checkpoint_is_gone_on_from(
    taught: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def never(self: Watch, done: int, ranks: Ranks, *, last: bool = False) -> dict[str, float]:
        if done == 8:
            raise Died
        return look(self, done, ranks, last=last)

    look = Watch.look
    monkeypatch.setattr(Watch, "look", never)
    with pytest.raises(Died):
        run(taught, tmp_path, {"stop": True, "held_out": words})
    progress = json.loads((complete_checkpoints(tmp_path)[-1] / "progress.json").read_text())
    assert progress["step"] == 6
    looks = progress["watch"]["looks"]
    held_out = np.array([table[MEASURES.index("held_out")] for _, table in looks], dtype=float)
    best = looks[best_look(held_out)][0]
    assert best > 0
    assert [folder.name for folder in (tmp_path / KEPT).iterdir()] == [f"step-{best:08d}"]


def test_a_checkpoint_without_a_watch_is_refused(taught: dict[str, Tensor]):
    with pytest.raises(CheckpointError, match="without a watch"):
        watch_of(start(taught)).restore({})
