import json
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead import __version__
from tiny_runs import fails, fairlead, json_of

SHARED = Path(__file__).resolve().parents[3] / "shared"

PAIRS = [
    {"prompt": "one", "chosen": "a longer reply", "rejected": "short"},
    {"prompt": "two", "chosen": "brief", "rejected": "a longer reply"},
    {"prompt": "two", "chosen": "brief", "rejected": "a longer reply"},
    {"prompt": "three", "chosen": "same size", "rejected": "equal len"},
]


def write(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_help_lists_every_command():
    result = fairlead("--help")
    assert result.exit_code == 0
    commands = ["quickstart", "run", "verify", "report", "inspect"]
    commands += ["doctor", "generate", "evaluate", "train"]
    assert [name for name in commands if f" {name} " not in result.stdout] == []


def test_no_arguments_show_the_help():
    assert "Usage" in fairlead().output


def test_version():
    assert fairlead("--version").stdout.strip() == __version__


def test_doctor_says_the_same_in_both_forms():
    found = json_of("doctor")
    assert found["versions"]["fairlead"] == __version__
    text = fairlead("doctor").stdout
    assert f"torch {found['versions']['torch']}" in text and "To repair" in text


def test_inspect_counts(tmp_path: Path):
    file = write(tmp_path / "pairs.jsonl", [*PAIRS, {"prompt": "four", "chosen": 4}])
    found = json_of("inspect", file)
    assert found["records"] == 4 and found["rejected_rows"] == 1
    assert found["duplicates"] == 1 and found["chosen_longer"] == 0.25
    assert found["rejections"][0]["examples"][0]["row"] == 5
    assert "preference" in fairlead("inspect", file).stdout


def test_inspect_takes_the_format_it_is_told(tmp_path: Path):
    file = write(tmp_path / "pairs.jsonl", PAIRS)
    assert json_of("inspect", file, "--format", "preference")["records"] == 4
    assert "unknown data format" in fails("inspect", file, "--format", "prefrence")


def test_inspect_strict_stops_at_the_row(tmp_path: Path):
    file = write(tmp_path / "pairs.jsonl", [*PAIRS, {"prompt": "four", "chosen": 4}])
    assert "row 5" in fails("inspect", file, "--strict")


def test_inspect_real_comparisons():
    data = SHARED / "data" / "hh-rlhf"
    if not data.is_dir():
        pytest.skip("../shared/data/hh-rlhf is not beside this checkout")
    found = json_of("inspect", data)
    assert (found["records"], found["rejected_rows"]) == (1420, 0)
    assert found["duplicates"] == 0
    assert found["chosen_longer"] == pytest.approx(0.458, abs=1e-3)


def test_a_process_of_its_own_writes_errors_to_stderr_alone():
    command = [sys.executable, "-m", "fairlead.cli.main", "inspect", "./absent.jsonl"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "error: file or folder not found",
        "  where: ./absent.jsonl",
        "  remedy: check the path for typing errors",
    ]
