"""A trace of a few training steps, as chrome://tracing and Perfetto open it."""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from fairlead.core.clock import Part, section
from fairlead.training.source import Source

STEPS = 3
"""Optimizer steps in a trace."""
WARM_UP = 2
"""Steps before it, in which allocators and caches fill."""
_LOOKAHEAD = 10_000

_file: ContextVar[Path | None] = ContextVar("fairlead_trace", default=None)


@contextmanager
def tracing(file: Path) -> Generator[None]:
    """The first training run within the block writes a trace to `file`."""
    token = _file.set(file)
    try:
        yield
    finally:
        _file.reset(token)


@contextmanager
def traced_steps(source: Source, done: int) -> Generator[Callable[[int], None]]:
    """Yields what to call as each step begins; it does nothing where no trace is asked for.

    The trace begins where nothing half-used is in hand, so that an online step shows its sampling;
    a run too short for a warm-up is traced from its first step.
    """
    file = _file.get()
    if file is None or file.exists():
        yield lambda _: None
        return
    trace = _Trace(file, _first(source, done))
    try:
        yield trace.step
    finally:
        trace.stop()


def _first(source: Source, done: int) -> int:
    """The step to begin with."""
    warm = islice(range(done + WARM_UP, source.steps), _LOOKAHEAD)
    return next((index for index in warm if source.between(index)), done)


class _Trace:
    def __init__(self, file: Path, first: int) -> None:
        self.file = file
        self.first = first
        self.running: Any = None

    def step(self, index: int) -> None:
        """A step begins."""
        if index == self.first:
            self._start()
        elif index == self.first + STEPS:
            self.stop()

    def _start(self) -> None:
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        with section(Part.PROFILING):
            self.running = profile(activities=activities)
            self.running.start()

    def stop(self) -> None:
        """Writes what was traced so far, if anything."""
        if self.running is None:
            return
        with section(Part.PROFILING):
            self.running.stop()
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.running.export_chrome_trace(str(self.file))
        self.running = None
