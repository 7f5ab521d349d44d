"""Runs a recipe: each stage once, unchanged ones not again, every one with its manifest."""

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from fairlead.core.allocator import tune_allocator
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.files import read_json, write_json
from fairlead.core.seeds import Seed
from fairlead.lineage import (
    RunRecord,
    StageRecord,
    make_inputs,
    make_manifest,
    read,
    read_run,
    stage_key,
    write,
    write_result,
    write_run,
)
from fairlead.lineage.environment import code_version
from fairlead.lineage.manifest import Inputs
from fairlead.pipeline.recipe import Recipe
from fairlead.pipeline.stage import Context, Stage
from fairlead.report import write_report

Say = Callable[[str], None]


def run_recipe(
    recipe: Recipe, run_dir: Path, *, resume: bool = False, say: Say = lambda _: None
) -> Path:
    """Runs the stages in order and writes the report; returns the report's path.

    A stage whose settings and inputs are unchanged is not run again. Under `accelerate launch`
    every process runs the training; the first one writes.

    Args:
        recipe: what to run.
        run_dir: where everything goes.
        resume: go on with a run that was stopped, from its newest checkpoint.
        say: gets a line per stage.

    Raises:
        ConfigError: the folder holds an unfinished run and `resume` is not set.
    """
    tune_allocator()
    _check_unfinished(run_dir, recipe, resume)
    log = _Log(recipe, run_dir)
    for stage in recipe.stages:
        record, inputs = _prepare(stage, recipe, run_dir)
        folder = run_dir / "stages" / stage.name
        if _is_cached(folder, record, inputs):
            log.stage(stage, "complete", read(folder).seconds, cached=True)
            say(f"{stage.name}: unchanged, not run again")
            continue
        say(f"{stage.name}: {stage.kind}")
        seconds = _run_stage(stage, recipe, run_dir, record, inputs, log, resume)
        say(f"{stage.name}: done in {seconds:.1f} s")
    log.finish()
    return write_report(run_dir)


def stage_settings(stage: Stage, recipe: Recipe) -> dict[str, Any]:
    """What config.json holds: everything besides its inputs that a stage's result follows from."""
    return {"stage": stage.settings(), "seed": recipe.seed, "fairlead": code_version().version}


def is_complete(stage: Stage, recipe: Recipe, run_dir: Path) -> bool:
    """Whether a run of this recipe would find the stage unchanged."""
    try:
        record, inputs = _prepare(stage, recipe, run_dir)
    except DataError:
        return False
    return _is_cached(run_dir / "stages" / stage.name, record, inputs)


def _prepare(stage: Stage, recipe: Recipe, run_dir: Path) -> tuple[dict[str, Any], Inputs]:
    inputs = make_inputs(run_dir, files=stage.files(), stages=stage.upstream())
    return stage_settings(stage, recipe), inputs


def _is_cached(folder: Path, settings: dict[str, Any], inputs: Inputs) -> bool:
    try:
        return read(folder).key == stage_key(settings, inputs)
    except DataError:
        return False


def _run_stage(
    stage: Stage,
    recipe: Recipe,
    run_dir: Path,
    settings: dict[str, Any],
    inputs: Inputs,
    log: "_Log",
    resume: bool,
) -> float:
    folder = run_dir / "stages" / stage.name
    first = int(os.environ.get("RANK", "0")) == 0
    going_on = resume and _same_settings(folder, settings)
    if first:
        if not going_on:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").unlink(missing_ok=True)
        _remove_leftovers(folder)
        write_json(folder / "config.json", settings)
        log.stage(stage, "running", 0.0, cached=False)
    started, clock = datetime.now(UTC), time.monotonic()
    seed = Seed(recipe.seed).child(stage.name)
    try:
        result = stage.run(Context(run_dir, folder, seed, going_on))
    except BaseException:
        if first:
            log.stage(stage, "failed", time.monotonic() - clock, cached=False)
        raise
    seconds = time.monotonic() - clock
    if first:
        write_result(folder, result)
        manifest = make_manifest(
            folder,
            inputs=inputs,
            device=_device(),
            seed=recipe.seed,
            started=started,
            seconds=seconds,
        )
        write(folder, manifest)
        log.stage(stage, "complete", seconds, cached=False)
    return seconds


def _same_settings(folder: Path, settings: dict[str, Any]) -> bool:
    config = folder / "config.json"
    return config.exists() and read_json(config) == settings


def _remove_leftovers(folder: Path) -> None:
    """Half-written files of a process that was killed; their names start with a dot."""
    for path in folder.rglob(".*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _check_unfinished(run_dir: Path, recipe: Recipe, resume: bool) -> None:
    if not (run_dir / "run.json").exists():
        return
    earlier = read_run(run_dir)
    if earlier.finished is None and not resume:
        raise ConfigError(
            "this folder holds a run that was stopped before its end",
            where=str(run_dir),
            got=f"run {earlier.name!r}, started {earlier.started:%Y-%m-%d %H:%M} UTC",
            remedy="add --resume to go on where it stopped, or choose another --out",
        )
    if earlier.name != recipe.name:
        raise ConfigError(
            "this folder holds a run of another recipe",
            where=str(run_dir),
            expected=recipe.name,
            got=earlier.name,
            remedy="choose another --out",
        )


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


class _Log:
    """Keeps run.json up to date."""

    def __init__(self, recipe: Recipe, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.stages: dict[str, StageRecord] = {}
        self.record = RunRecord(
            name=recipe.name,
            seed=recipe.seed,
            started=datetime.now(UTC),
            recipe=recipe.model_dump(mode="json"),
        )

    def stage(self, stage: Stage, status: Any, seconds: float, *, cached: bool) -> None:
        """Notes how far a stage has come."""
        self.stages[stage.name] = StageRecord(
            name=stage.name,
            kind=getattr(stage, "kind", ""),
            folder=f"stages/{stage.name}",
            seconds=seconds,
            status=status,
            cached=cached,
        )
        self._write(None)

    def finish(self) -> None:
        """Notes the end of the run."""
        self._write(datetime.now(UTC))

    def _write(self, finished: datetime | None) -> None:
        if int(os.environ.get("RANK", "0")) != 0:
            return
        update = {"stages": tuple(self.stages.values()), "finished": finished}
        self.record = self.record.model_copy(update=update)
        write_run(self.run_dir, self.record)
