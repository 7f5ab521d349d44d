"""Commands and recipes that take seconds: a tiny policy on a few comparisons."""

import json
from pathlib import Path
from typing import Any

import yaml
from click.testing import Result
from typer.testing import CliRunner

from fairlead.cli.main import app
from small_world import write_base, write_pairs

TRAIN = {"batch_size": 8, "max_steps": 2, "learning_rate": 1e-3}
SMALL = ("train.batch_size=8", "train.max_steps=2", "max_length=60")
"""The same for `fairlead train`."""


def fairlead(*arguments: Any) -> Result:
    """What the command line does with these arguments, in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails(*arguments: Any, code: int = 1) -> str:
    """The error that a command shows, without line breaks; it must exit so, without a traceback."""
    result = fairlead(*arguments)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output and "error: " not in result.stdout
    progress, _, error = result.stderr.partition("error: ")
    assert error, progress
    return " ".join(error.split())


def json_of(*arguments: Any) -> Any:
    """What a command prints with --json."""
    result = fairlead(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def write_recipe(folder: Path, **changes: Any) -> Path:
    """A recipe (data, sft, dpo) with its model and data beside it; changes are by stage name."""
    base, pairs = folder / "base", folder / "pairs.jsonl"
    if not base.exists():
        write_base(base)
        write_pairs(pairs, 60)
    stages: list[dict[str, Any]] = [
        {"name": "data", "kind": "records", "path": "${data.path}"},
        {
            "name": "sft",
            "kind": "sft",
            "model": "${model.path}",
            "data": "@data/train.jsonl",
            "test": "@data/test.jsonl",
            "train": TRAIN,
        },
        {
            "name": "dpo",
            "kind": "preference",
            "model": "@sft",
            "data": "@data/train.jsonl",
            "max_length": "${length}",
            "train": TRAIN,
        },
    ]
    value = {
        "name": "tiny",
        "let": {"data": {"path": str(pairs)}, "model": {"path": str(base)}, "length": 60},
        "stages": [stage | changes.get(stage["name"], {}) for stage in stages],
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    from fairlead.core.files import sha256_file

    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def flip(path: Path, place: float = 0.5) -> None:
    """Changes one bit of a file, at a share of its length."""
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(bytes(content))
