"""The processes of one run: which one this is, and what only one of them does.

Everything here also works where there is a single process, and then costs nothing.
"""

# torch and accelerate leave much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportMissingTypeStubs=false

import atexit
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState

from fairlead.core.errors import FairleadError, TrainingError

T = TypeVar("T")

WITHOUT_DEVICE = not torch.accelerator.is_available()
"""Accelerate has to be told, or it takes several processes on CPUs for unrelated ones."""

DEATH_SIGNS = ("Connection closed by peer", "Connection reset", "Broken pipe", "timed out", "gloo")
"""What torch says when another process of the group is gone."""


@cache
def processes() -> PartialState:
    """Accelerate's view of the processes; joins them at the first call."""
    state = PartialState(cpu=WITHOUT_DEVICE)
    if state.num_processes > 1:
        # The group's threads must end before the interpreter does, or it aborts at times.
        atexit.register(dist.destroy_process_group)
    return state


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return bool(processes().is_main_process)


def from_first(make: Callable[[], T]) -> T:
    """Runs `make` in the first process alone; all wait for it, however long, and get its result.

    Raises:
        FairleadError: what `make` raised, in every process.
        TrainingError: another process died.
    """
    if processes().num_processes == 1:
        return make()
    box: list[Any] = [None, None]
    if is_first():
        try:
            box[0] = make()
        except FairleadError as error:
            box[1] = error
    with naming_dead_workers():
        dist.broadcast_object_list(box, src=0, group=_patient())
    if box[1] is not None:
        raise box[1]
    return box[0]


def gathered(values: Sequence[T]) -> list[T]:
    """The values of all processes, those of the first one first."""
    if processes().num_processes == 1:
        return list(values)
    parts: list[Any] = [None] * processes().num_processes
    with naming_dead_workers():
        dist.all_gather_object(parts, list(values), group=_patient())
    return [value for part in parts for value in part]


@contextmanager
def naming_dead_workers() -> Generator[None]:
    """Names a dead process as what it is; every other error stays itself.

    Raises:
        TrainingError: another process died or hangs.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        own = isinstance(error, FairleadError) or processes().num_processes == 1
        if own or not any(sign in text for sign in DEATH_SIGNS):
            raise
        raise TrainingError(
            "another worker process died or hangs",
            where=f"process {processes().process_index} of {processes().num_processes}",
            got=text.splitlines()[0][:200],
            remedy="look at the other process's output, then start all of them again with "
            "--resume; the newest checkpoint is whole",
        ) from error


@cache
def _patient() -> Any:
    """A group for waits as long as one process needs for what it does alone."""
    processes()
    return dist.new_group(backend="gloo", timeout=timedelta(days=30))
