import shutil
from pathlib import Path

import pytest

from tiny_runs import fairlead, write_recipe


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base model, data, a recipe (data, sft, dpo) and its finished run."""
    folder = tmp_path_factory.mktemp("finished")
    result = fairlead("run", write_recipe(folder), "--out", folder / "run")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    shutil.copytree(finished / "run", tmp_path / "run")
    return tmp_path / "run"
