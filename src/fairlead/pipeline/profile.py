"""Where the time of a run went: by stage and part, with a trace of a few steps of each training.

`with profiling(run_dir): run_recipe(recipe, run_dir)` keeps time; without it nothing here runs.
What it writes lies in `profile/` beside the stages, so that no result depends on it.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch.profiler import record_function

from fairlead.core.clock import Clock, Part, timed
from fairlead.core.errors import DataError
from fairlead.core.files import read_json, write_json
from fairlead.models.processes import is_first
from fairlead.pipeline.stage import Stage
from fairlead.training.config import TrainConfig
from fairlead.training.tracing import tracing

FOLDER, FILE, TRACE = "profile", "profile.json", "trace.json"
BILLION = 10**9


class Spent(BaseModel):
    """Time by part; the parts add up to the whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float
    """The whole, by the clock on the wall."""
    parts: dict[Part, float]
    """Seconds of each part; time within a part within a part is the inner one's alone."""

    def shares(self) -> list[tuple[Part, float, float]]:
        """(part, seconds, share of the whole), the largest first."""
        ordered = sorted(self.parts.items(), key=lambda item: -item[1])
        return [(part, seconds, seconds / self.seconds) for part, seconds in ordered if seconds]


class StageSpent(Spent):
    """Time that a stage took."""

    trains: bool
    """Whether it has a training loop."""
    resumed: bool
    """Whether it went on from a checkpoint: time before that is not in it."""
    trace: str | None
    """Its trace, beside this file; None where there was no training step."""


class Profile(BaseModel):
    """Time that a run took; stages that were not run again keep what they took before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: Spent
    """The newest run of the recipe, from its first stage to its report."""
    stages: dict[str, StageSpent]


def read_profile(run_dir: Path) -> Profile:
    """What `profiling` wrote.

    Raises:
        DataError: the run was not profiled.
    """
    return Profile.model_validate(read_json(run_dir / FOLDER / FILE))


@contextmanager
def profiling(run_dir: Path) -> Generator[None]:
    """Keeps the time of what the first process does within the block, and writes it down."""
    if not is_first():
        yield
        return
    profiler = _Profiler(run_dir / FOLDER)
    token = _current.set(profiler)
    try:
        with timed(profiler.clock):
            yield
    finally:
        _current.reset(token)
        profiler.write()


@contextmanager
def profiled(stage: Stage, *, resumed: bool) -> Generator[None]:
    """What a stage does; without effect outside `profiling`."""
    profiler = _current.get()
    if profiler is None:
        yield
        return
    with profiler.stage(stage, resumed):
        yield


class _Profiler:
    """One clock for the whole run; a stage is the difference of two readings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
        self.clock = Clock(border=wait, span=record_function)
        self.stages = _earlier(folder)

    @contextmanager
    def stage(self, stage: Stage, resumed: bool) -> Generator[None]:
        trace = self.folder / stage.name / TRACE
        trace.unlink(missing_ok=True)
        before = self.clock.spent()
        with tracing(trace):
            yield
        after = self.clock.spent()
        spent = {part: now - before.get(part, 0) for part, now in after.items()}
        self.stages[stage.name] = StageSpent(
            **_seconds(spent).model_dump(),
            trains=isinstance(getattr(stage, "train", None), TrainConfig),
            resumed=resumed,
            trace=f"{stage.name}/{TRACE}" if trace.exists() else None,
        )
        self.write()  # a run that is stopped later keeps it

    def write(self) -> None:
        whole = Profile(run=_seconds(self.clock.spent()), stages=self.stages)
        write_json(self.folder / FILE, whole.model_dump(mode="json"))


def _seconds(spent: dict[Part, int]) -> Spent:
    parts = {part: spent[part] / BILLION for part in spent if spent[part]}
    return Spent(seconds=sum(spent.values()) / BILLION, parts=parts)


def _earlier(folder: Path) -> dict[str, StageSpent]:
    """Stages of the run as it was profiled before."""
    try:
        return dict(Profile.model_validate(read_json(folder / FILE)).stages)
    except (DataError, ValueError):
        return {}


_current: ContextVar[_Profiler | None] = ContextVar("fairlead_profiler", default=None)
