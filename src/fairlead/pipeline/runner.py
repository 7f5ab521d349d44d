"""Runs a recipe: each stage once, unchanged ones not again, every one with its manifest."""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fairlead.core.allocator import tune_allocator
from fairlead.core.cpus import THREADS, fitting_threads, local_processes, usable_cores
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.files import cannot_write, write_json, write_text
from fairlead.core.memory import forget_peak, peak_mib
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
from fairlead.lineage.manifest import MANIFEST, Inputs, output_names, sha256_path
from fairlead.models.processes import from_first, is_first
from fairlead.pipeline.profile import profiled
from fairlead.pipeline.recipe import Recipe
from fairlead.pipeline.stage import Context, Stage
from fairlead.report import write_report
from fairlead.training.checkpoints import complete_checkpoints
from fairlead.training.config import TrainConfig

BEGUN = ".begun"
"""File with the key of the attempt in a stage's folder, there until the stage is complete."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Recording:
    """Whether what is sampled during training is kept, or taken from an earlier run."""

    record: bool = False
    replay: Path | None = None
    """Folder of the run whose rollouts are taken."""

    def settings(self) -> dict[str, Any]:
        """What of it a stage's result follows from; nothing where it is not used."""
        recorded: dict[str, Any] = {"record": True} if self.record else {}
        return recorded | ({"replay": str(self.replay)} if self.replay else {})


AS_USUAL = Recording()


def run_recipe(
    recipe: Recipe,
    run_dir: Path,
    *,
    resume: bool = False,
    recording: Recording = AS_USUAL,
    say: Say = lambda _: None,
) -> Path:
    """Runs the stages in order and writes the report; returns the report's path.

    A stage whose settings and inputs are unchanged is not run again. Under `accelerate launch` or
    `torchrun` all processes train together; everything else the first one does alone.

    Args:
        recipe: what to run.
        run_dir: where everything goes.
        resume: go on with a run that was stopped, from its newest checkpoint.
        recording: whether rollouts are recorded or replayed.
        say: gets a line per stage.

    Raises:
        ConfigError: the folder holds an unfinished run and `resume` is not set.
        DataError: an input is missing, or the outputs of an earlier stage are damaged.
    """
    tune_allocator()
    _fit_threads(say)
    from_first(lambda: _claim(run_dir, recipe, resume))
    log = _Log(recipe, run_dir)
    for stage in recipe.stages:
        prepare = partial(_prepare, stage, recipe, run_dir, recording)
        settings, inputs, seconds = from_first(prepare)
        if seconds is not None:
            log.stage(stage, "complete", seconds, cached=True)
            _say(say, f"{stage.name}: unchanged, not run again")
            continue
        _say(say, f"{stage.name}: {stage.kind}")
        seconds = _run_stage(stage, recipe, run_dir, settings, inputs, log, resume, recording, say)
        _say(say, f"{stage.name}: done in {seconds:.1f} s")
    log.finish()
    return from_first(lambda: write_report(run_dir))


def _fit_threads(say: Say) -> None:
    """Torch takes the machine's cores for its own, also in a container or beside its equals."""
    threads, processes = torch.get_num_threads(), local_processes()
    fitting = fitting_threads(usable_cores(), processes)
    if threads <= fitting:
        return
    if THREADS in os.environ:
        few = f"{usable_cores()} cores for {processes} process(es) of {threads} threads"
        _say(say, f"{few}: they will wait for each other; {THREADS}={fitting} suits them")
    else:
        torch.set_num_threads(fitting)


def _say(say: Say, line: str) -> None:
    if is_first():
        say(line)


def stage_settings(stage: Stage, recipe: Recipe, recording: Recording = AS_USUAL) -> dict[str, Any]:
    """What config.json holds: everything besides its inputs that a stage's result follows from."""
    settings = {"stage": stage.settings(), "seed": recipe.seed, "fairlead": code_version().version}
    return settings | (recording.settings() if stage.keeps_rollouts else {})


def is_complete(stage: Stage, recipe: Recipe, run_dir: Path) -> bool:
    """Whether a run of this recipe would find the stage unchanged."""
    try:
        return _prepare(stage, recipe, run_dir)[2] is not None
    except DataError:
        return False


def _prepare(
    stage: Stage, recipe: Recipe, run_dir: Path, recording: Recording = AS_USUAL
) -> tuple[dict[str, Any], Inputs, float | None]:
    """Settings and inputs of a stage, and the seconds it took where it need not run again."""
    inputs = make_inputs(run_dir, files=stage.files(), stages=stage.upstream())
    settings = stage_settings(stage, recipe, recording)
    try:
        manifest = read(run_dir / "stages" / stage.name)
    except DataError:
        return settings, inputs, None
    unchanged = manifest.key == stage_key(settings, inputs)
    return settings, inputs, manifest.seconds if unchanged else None


def _run_stage(
    stage: Stage,
    recipe: Recipe,
    run_dir: Path,
    settings: dict[str, Any],
    inputs: Inputs,
    log: "_Log",
    resume: bool,
    recording: Recording,
    say: Say,
) -> float:
    folder = run_dir / "stages" / stage.name
    key = stage_key(settings, inputs)

    def begin() -> bool:
        _check_upstream(stage, run_dir)
        going_on = resume and _begun_as(folder) == key
        _open(folder, settings, key, going_on)
        return going_on

    going_on = from_first(begin)
    log.stage(stage, "running", 0.0, cached=False)
    started, clock = datetime.now(UTC), time.monotonic()
    seed = Seed(recipe.seed).child(stage.name)
    context = Context(
        run_dir, folder, seed, going_on, recording.record, recording.replay, partial(_say, say)
    )
    work = partial(stage.run, context)
    _forget_peak()
    try:
        with profiled(stage, resumed=going_on):
            result = work() if _trains(stage) else from_first(work)
    except BaseException:
        log.stage(stage, "failed", time.monotonic() - clock, cached=False)
        if is_first():
            _put_back(folder)
        raise
    seconds = time.monotonic() - clock

    def close() -> None:
        (folder / BEGUN).unlink()
        write_result(folder, result)
        manifest = make_manifest(
            folder,
            inputs=inputs,
            device=_device(),
            seed=recipe.seed,
            started=started,
            seconds=seconds,
            peak_mib=_peak_mib(),
        )
        write(folder, manifest)
        _forget_earlier(folder)

    from_first(close)
    log.stage(stage, "complete", seconds, cached=False)
    return seconds


def _trains(stage: Stage) -> bool:
    """Whether all processes take part; what does not train, the first one does alone."""
    return isinstance(getattr(stage, "train", None), TrainConfig)


def _open(folder: Path, settings: dict[str, Any], key: str, going_on: bool) -> None:
    """Makes a stage's folder ready, empty unless it is gone on with."""
    if going_on:
        (folder / MANIFEST).unlink(missing_ok=True)
        _remove_leftovers(folder)
    else:
        _set_aside(folder)
    write_json(folder / "config.json", settings)
    write_text(folder / BEGUN, key)


def _earlier(folder: Path) -> Path:
    """Where a stage's earlier result is while a new one is made."""
    return folder.parent.parent / "earlier" / folder.name


def _set_aside(folder: Path) -> None:
    """Empties a stage's folder; a complete result is kept until a new one replaces it."""
    if (folder / MANIFEST).exists():
        shutil.rmtree(_earlier(folder), ignore_errors=True)
        _earlier(folder).parent.mkdir(exist_ok=True)
        folder.rename(_earlier(folder))
    shutil.rmtree(folder, ignore_errors=True)


def _put_back(folder: Path) -> None:
    """Gives a stage its earlier result again where the new attempt left nothing to go on with."""
    kept = complete_checkpoints(folder) or list(folder.glob("round-*"))
    if _earlier(folder).exists() and not kept:
        shutil.rmtree(folder, ignore_errors=True)
        _earlier(folder).rename(folder)


def _forget_earlier(folder: Path) -> None:
    shutil.rmtree(_earlier(folder), ignore_errors=True)
    with suppress(OSError):  # other stages may have theirs there
        _earlier(folder).parent.rmdir()


def _begun_as(folder: Path) -> str:
    """Key of the unfinished attempt in a stage's folder; checkpoints of another key are useless."""
    try:
        return (folder / BEGUN).read_text()
    except OSError:
        return ""


def _check_upstream(stage: Stage, run_dir: Path) -> None:
    """Refuses to build on files that are not those an earlier stage wrote."""
    for name in stage.upstream():
        folder = run_dir / "stages" / name
        recorded = read(folder).outputs
        found = {n: sha256_path(folder / n) for n in output_names(folder) if n in recorded}
        changed = sorted(n for n in recorded if found.get(n) != recorded[n])
        if changed:
            raise DataError(
                f"the outputs of stage {name!r} are damaged",
                where=str(folder),
                expected="the files that the stage wrote, unchanged",
                got=f"changed or missing: {', '.join(changed)}",
                remedy=f"restore them from a copy, or remove {folder} and run again with --resume",
            )


def _remove_leftovers(folder: Path) -> None:
    """Half-written files of a process that was killed; their names start with a dot."""
    for path in sorted(folder.rglob(".*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _claim(run_dir: Path, recipe: Recipe, resume: bool) -> None:
    """Makes the run folder, or sees to it that it is this recipe's to go on with."""
    for stage in recipe.stages:
        stage.check_inputs()
    _check_unfinished(run_dir, recipe, resume)
    try:
        (run_dir / "stages").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(run_dir, error) from error
    for stage in recipe.stages:
        _put_back(run_dir / "stages" / stage.name)


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


def _forget_peak() -> None:
    forget_peak()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_mib() -> float:
    """Peak memory of the device that trains."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_mib()


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
        if not is_first():
            return
        update = {"stages": tuple(self.stages.values()), "finished": finished}
        self.record = self.record.model_copy(update=update)
        write_run(self.run_dir, self.record)
