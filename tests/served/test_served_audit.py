"""A model behind `fairlead serve` under audit."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.core.files import read_json
from fairlead.report import render, report_json
from small_world import write_base
from tiny_runs import fairlead

RECIPE = "audits: [{kind: diversity, items: 6, samples: 3, max_tokens: 8, margin: 1.0}]"
CAVEAT = "Only one of the two models is in this process"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("models") / "one", seed=0)


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[str]:
    """The model behind a server, as the command line takes it."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "fairlead.cli.main", "serve", str(model), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        line = process.stdout.readline()  # pyright: ignore
        address = re.search(r"http://\S+/v1", line)[0]  # pyright: ignore
        yield json.dumps({"kind": "server", "server": {"base_url": address, "model": "one"}})
        process.terminate()


@pytest.mark.parametrize("both", [True, False])
def test_a_reader_is_told_where_models_are_asked_in_two_ways(
    both: bool, served: str, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "audit.yaml").write_text(RECIPE)
    against = served if both else str(model)
    run = tmp_path / "run"
    given = ("--against", against, "--recipe", tmp_path / "audit.yaml", "--out", run)
    result = fairlead("audit", served, *given)
    assert result.exit_code in (0, 2), result.stderr
    notes = read_json(run / "stages" / "audit" / "result.json")["notes"]
    assert [CAVEAT in note for note in notes] == ([False] if both else [False, True])
    (one,) = report_json(run)["verdict"]["audited"]
    assert one["caveats"] == notes[1:]
    assert (CAVEAT in render(run)) is (CAVEAT in result.stderr) is not both
