"""What is logged where only every few steps are."""

from pathlib import Path

import pytest
from rollout_tools import make, start
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.objectives.ppo import PPO
from fairlead.training.checkpoints import complete_checkpoints
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from small_world import metrics_of

Lines = list[dict[str, float]]
CARRIED = ("reward/score", "policy/kl_k1", "rollout/length", "rollout/eos_rate")
EVERY = 4
UPDATES = 2
"""Of each rollout batch, so that steps 1, 3, 5, ... report one."""


def run(taught: dict[str, Tensor], folder: Path, *, resume: bool = False, **changes: object):
    settings = {"log_every": EVERY, "learning_rate": 1e-3} | changes
    rollouts = settings.pop("rollouts", {})
    policy = start(taught)
    train(
        policy,
        PPO(),
        make(policy, minibatches=UPDATES, iterations=5, **rollouts),  # pyright: ignore
        TrainConfig.model_validate(settings),
        seed=Seed(0),
        run_dir=folder,
        resume=resume,
        require_eos=False,
    )
    return metrics_of(folder)


@pytest.fixture(scope="module")
def every_step(taught: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Lines:
    return run(taught, tmp_path_factory.mktemp("all"), log_every=1)


@pytest.fixture(scope="module")
def some(taught: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("some")
    run(taught, folder)
    return folder


def test_only_the_first_update_of_a_batch_reports_it(every_step: Lines):
    assert [line["step"] for line in every_step if "reward/score" in line] == [1, 3, 5, 7, 9]


@pytest.mark.parametrize("name", CARRIED)
def test_a_line_has_the_mean_of_the_batches_since_the_last_one(
    every_step: Lines, some: Path, name: str
):
    of_step = {line["step"]: line for line in every_step}
    logged = {line["step"]: line[name] for line in metrics_of(some)}
    means = {
        4: (of_step[1][name] + of_step[3][name]) / 2,
        8: (of_step[5][name] + of_step[7][name]) / 2,
        10: of_step[9][name],
    }
    assert logged == pytest.approx(means, rel=1e-12)
    assert len(set(logged.values())) == 3 or name == "rollout/eos_rate"


@pytest.mark.parametrize("name", ["loss/total", "train/gradient_norm", "train/learning_rate"])
def test_what_the_loop_measures_is_that_of_the_step(every_step: Lines, some: Path, name: str):
    of_step = {line["step"]: line[name] for line in every_step}
    assert {line["step"]: line[name] for line in metrics_of(some)} == {
        step: of_step[step] for step in (4, 8, 10)
    }


def test_a_resumed_run_logs_what_was_reported_before_its_checkpoint(
    taught: dict[str, Tensor], some: Path, tmp_path: Path
):
    run(taught, tmp_path, checkpoint_every=6)
    # Step 5 reported, step 8 logs it.
    assert [path.name for path in complete_checkpoints(tmp_path)] == ["step-00000006"]
    assert run(taught, tmp_path, resume=True, checkpoint_every=6) == metrics_of(some)


def test_the_last_line_of_a_run_that_ends_early_is_logged(
    taught: dict[str, Tensor], tmp_path: Path
):
    lines = run(taught, tmp_path, log_every=100, learning_rate=1e-2, rollouts={"stop_kl": 1e-6})
    assert len(lines) == 1
    assert 1 < lines[0]["step"] < 10
    assert {"reward/score", "loss/total"} <= lines[0].keys()
