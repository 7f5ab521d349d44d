"""Checkpoints: whole or absent, checked by hash, loadable with `from_pretrained`."""

# torch and accelerate leave much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fairlead.core.errors import CheckpointError, DataError
from fairlead.core.files import read_json, sha256_file, whole_folder, write_json
from fairlead.models.loading import restore, save
from fairlead.models.policy import Policy
from fairlead.models.reward_model import RewardModel

FOLDER = "checkpoints"
SUMS = "checksums.json"


class Progress(NamedTuple):
    """How far a checkpointed run had come."""

    step: int
    """Optimizer steps done."""
    source: dict[str, Any]
    spent: int = 0
    """Token passes done."""
    unlogged: dict[str, tuple[float, float]] = {}  # noqa: RUF012  (never written to)
    """(total, count) of what the source reported since the last logged line."""
    watch: dict[str, Any] = {}  # noqa: RUF012  (never written to)
    """What a watcher has seen; empty without one."""


def write_checkpoint(
    run_dir: Path,
    module: Policy | RewardModel,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    *,
    keep: int,
) -> Path:
    """Writes `checkpoints/step-N` atomically and removes the oldest beyond `keep`.

    Raises:
        CheckpointError: the disk is full; earlier checkpoints are intact.
    """
    target = run_dir / FOLDER / f"step-{progress.step:08d}"
    with whole_folder(target) as temporary:
        save(module, temporary / "model")
        try:
            torch.save(optimizer.state_dict(), temporary / "optimizer.pt")
        except RuntimeError as error:
            raise OSError(None, str(error).splitlines()[0]) from error
        try:
            write_json(temporary / "progress.json", progress._asdict())
            write_json(temporary / SUMS, _sums(temporary))
        except DataError as error:
            raise OSError(None, error.what) from error
    for old in complete_checkpoints(run_dir)[:-keep]:
        shutil.rmtree(old)
    return target


def complete_checkpoints(run_dir: Path) -> list[Path]:
    """Checkpoints that were written to the end, oldest first."""
    return sorted((run_dir / FOLDER).glob("step-*"))


def read_checkpoint(
    folder: Path, module: Policy | RewardModel, optimizer: torch.optim.Optimizer
) -> Progress:
    """Puts a checkpoint back into the module and the optimizer, bit for bit.

    Raises:
        CheckpointError: a file is missing or its bytes changed.
    """
    _check(folder)
    restore(module, folder / "model")
    optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True))
    return Progress(**read_json(folder / "progress.json"))


def cut_metrics(file: Path, step: int) -> None:
    """Drops logged lines after `step`: they will be made again."""
    if not file.exists():
        return
    kept: list[str] = []
    for line in file.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except ValueError:
            break  # the line that was being written when the process died
    temporary = file.with_suffix(".cut")
    temporary.write_text("".join(f"{line}\n" for line in kept))
    temporary.replace(file)


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): sha256_file(p) for p in files}


def _recorded(sums: Path) -> dict[str, str]:
    try:
        return dict(read_json(sums))
    except (DataError, ValueError, TypeError):
        return {}


def _check(folder: Path) -> None:
    sums = folder / SUMS
    recorded = _recorded(sums)
    found = _sums(folder)
    found.pop(SUMS, None)
    damaged = sorted(n for n in recorded.keys() | found.keys() if recorded.get(n) != found.get(n))
    if damaged or not recorded:
        others = [p.name for p in complete_checkpoints(folder.parent.parent) if p != folder]
        instead = f" to go on from {others[-1]}" if others else " to start this stage anew"
        raise CheckpointError(
            "a checkpoint is damaged",
            where=str(folder),
            expected="the files that were written, unchanged",
            got=f"changed or missing: {', '.join(damaged) or SUMS}",
            remedy=f"restore the folder from a copy, or remove it{instead}; then --resume",
        )
