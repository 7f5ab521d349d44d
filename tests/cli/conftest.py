from pathlib import Path

import pytest

from small_world import write_base, write_pairs
from tiny_runs import SMALL, fairlead


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved policy of a few thousand weights."""
    return write_base(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty comparisons."""
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs.jsonl", 80)


@pytest.fixture(scope="session")
def reward_run(base: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of `fairlead train reward`."""
    run = tmp_path_factory.mktemp("runs") / "reward"
    arguments = ("--model", base, "--data", pairs, "--out", run, *SMALL)
    result = fairlead("train", "reward", *arguments)
    assert result.exit_code == 0, result.output
    return run
