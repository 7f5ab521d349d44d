import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from fairlead.core.errors import CheckpointError, DataError, FairleadError
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.models.policy import Policy, RewardModel
from fairlead.objectives.sft import SFT
from fairlead.training.checkpoints import (
    Progress,
    complete_checkpoints,
    cut_metrics,
    read_checkpoint,
    write_checkpoint,
)
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource
from small_world import demonstrations, items_of, metrics_of, tiny_policy, tiny_reward_model


def optimizer_of(module: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), lr=1e-3)


def moved(module: Policy | RewardModel) -> torch.optim.Optimizer:
    """One step of gradients that are as large as the weights: the optimizer has a state."""
    optimizer = optimizer_of(module)
    for parameter in module.parameters():
        parameter.grad = parameter.detach().clone()
    optimizer.step()
    return optimizer


def checkpointed(folder: Path, *steps: int, keep: int = 1) -> Policy:
    policy = tiny_policy()
    optimizer = moved(policy)
    for step in steps:
        write_checkpoint(folder, policy, optimizer, Progress(step, {"x": 1.5}), keep=keep)
    return policy


def names(folder: Path) -> list[str]:
    return [path.name for path in complete_checkpoints(folder)]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel refuses to write on, as it does when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("make", [tiny_policy, tiny_reward_model])
def test_round_trip_is_exact(tmp_path: Path, make: type) -> None:
    module = make(0)
    optimizer = moved(module)
    write_checkpoint(tmp_path, module, optimizer, Progress(7, {"kl": 0.3}), keep=1)
    other = make(1)
    fresh = optimizer_of(other)
    progress = read_checkpoint(complete_checkpoints(tmp_path)[0], other, fresh)
    assert progress == Progress(7, {"kl": 0.3})
    for name, weight in module.state_dict().items():
        assert torch.equal(other.state_dict()[name], weight), name
    for mine, theirs in zip(module.parameters(), other.parameters(), strict=True):
        for part in ("exp_avg", "exp_avg_sq", "step"):
            assert torch.equal(optimizer.state[mine][part], fresh.state[theirs][part])


def test_a_checkpoint_loads_with_from_pretrained(tmp_path: Path) -> None:
    policy = checkpointed(tmp_path, 3)
    model = AutoModelForCausalLM.from_pretrained(complete_checkpoints(tmp_path)[0] / "model")
    for name, weight in policy.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight)


def test_one_flipped_byte_in_any_file_is_noticed(tmp_path: Path) -> None:
    checkpointed(tmp_path, 1, 2, keep=2)
    first, newest = complete_checkpoints(tmp_path)
    files = [path for path in newest.rglob("*") if path.is_file()]
    assert {"model.safetensors", "optimizer.pt", "progress.json", "checksums.json"} <= {
        path.name for path in files
    }
    for file in files:
        whole = file.read_bytes()
        middle = len(whole) // 2
        file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        policy = tiny_policy()
        with pytest.raises(CheckpointError, match="a checkpoint is damaged") as caught:
            read_checkpoint(newest, policy, optimizer_of(policy))
        assert caught.value.where == str(newest)
        assert caught.value.remedy == (
            f"restore the folder from a copy, or remove it to go on from {first.name}; "
            "then --resume"
        )
        if file.name != "checksums.json":
            assert file.name in caught.value.got
        file.write_bytes(whole)
    read_checkpoint(newest, policy := tiny_policy(), optimizer_of(policy))


def test_missing_and_added_files_are_noticed(tmp_path: Path) -> None:
    checkpointed(tmp_path, 1)
    folder = complete_checkpoints(tmp_path)[0]
    (folder / "more.txt").write_text("x")
    (folder / "progress.json").rename(tmp_path / "away.json")
    with pytest.raises(CheckpointError, match=r"changed or missing: more.txt, progress.json"):
        read_checkpoint(folder, policy := tiny_policy(), optimizer_of(policy))
    (folder / "checksums.json").unlink()
    with pytest.raises(CheckpointError, match="remove it to start this stage anew"):
        read_checkpoint(folder, policy, optimizer_of(policy))


@pytest.mark.parametrize("keep", [1, 3])
def test_keeps_the_newest(tmp_path: Path, keep: int) -> None:
    checkpointed(tmp_path, 2, 9, 10, 100, keep=keep)
    assert names(tmp_path) == ["step-00000009", "step-00000010", "step-00000100"][3 - keep :]


@pytest.mark.parametrize(
    ("limit", "what"), [(60_000, "weights"), (200_000, "optimizer"), (600, "smaller files")]
)
def test_full_disk_leaves_the_earlier_checkpoint(tmp_path: Path, limit: int, what: str) -> None:
    policy = checkpointed(tmp_path, 1)
    with (
        files_of_at_most(limit),
        pytest.raises(CheckpointError, match="cannot write") as caught,
    ):
        write_checkpoint(tmp_path, policy, moved(policy), Progress(2, {}), keep=1)
    assert "step-00000002" in caught.value.where and "MiB free on that disk" in caught.value.got
    assert "free some space" in caught.value.remedy and "--resume" in caught.value.remedy
    assert names(tmp_path) == ["step-00000001"]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    other = tiny_policy(1)
    assert read_checkpoint(complete_checkpoints(tmp_path)[0], other, optimizer_of(other)).step == 1


def run(folder: Path, *, resume: bool = False, steps: int = 12) -> Policy:
    policy = tiny_policy()
    items = items_of(demonstrations(16))
    source = DatasetSource(items, sequence_batch, 4, 3, 512, Seed(0), max_steps=steps)
    config = TrainConfig(learning_rate=1e-3, checkpoint_every=4, schedule="constant", warmup=0)
    train(policy, SFT(), source, config, seed=Seed(0), run_dir=folder, resume=resume)
    return policy


def test_run_on_a_full_disk_stops_with_a_remedy_and_goes_on_later(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    run(tmp_path / "full", steps=6)
    with files_of_at_most(60_000), pytest.raises(CheckpointError, match="cannot write"):
        run(tmp_path / "full", resume=True)
    assert names(tmp_path / "full") == ["step-00000004"]
    again = run(tmp_path / "full", resume=True)
    for mine, other in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_log_on_a_full_disk_stops_with_a_remedy(tmp_path: Path) -> None:
    with files_of_at_most(300), pytest.raises(DataError, match="cannot write metrics") as caught:
        run(tmp_path)
    assert isinstance(caught.value, FairleadError) and "free some space" in caught.value.remedy


def test_a_new_run_does_not_write_over_an_earlier_one(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(CheckpointError, match="already holds checkpoints") as caught:
        run(tmp_path)
    assert "--resume" in caught.value.remedy
    assert len(metrics_of(tmp_path)) == 12


def test_cut_metrics(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    cut_metrics(file, 3)
    assert not file.exists()
    lines = [f'{{"step": {step}, "loss/total": 0.5}}\n' for step in range(1, 6)]
    file.write_text("".join(lines) + '{"step": 6, "loss/tot')
    cut_metrics(file, 3)
    assert file.read_text() == "".join(lines[:3])
    cut_metrics(file, 0)
    assert file.read_text() == "" and list(tmp_path.iterdir()) == [file]


def test_checkpoints_are_due_every_so_many_steps_but_not_at_the_end(tmp_path: Path) -> None:
    run(tmp_path)
    assert names(tmp_path) == ["step-00000008"]
