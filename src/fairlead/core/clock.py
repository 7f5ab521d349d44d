"""Where the time of a run goes, in sections that never overlap.

`with section(Part.FORWARD):` costs one look at a context variable where nobody keeps time. Under
a clock every moment belongs to the innermost open section, so the sections add up to the whole
exactly: time is counted in whole nanoseconds, and one section's end is the next one's beginning.
"""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from enum import StrEnum


class Part(StrEnum):
    """What the time of a run is spent on."""

    LOAD = "load models"
    DATA = "data"
    """Choosing and packing examples; crediting rollouts."""
    GENERATE = "generate"
    REWARD = "score: reward"
    REFERENCE = "score: reference"
    POLICY = "score: policy"
    """Log-probabilities and values of fresh rollouts, before any update."""
    FORWARD = "forward"
    BACKWARD = "backward"
    """Gradients, and their exchange between processes."""
    OPTIMIZER = "optimizer"
    LOGGING = "logging"
    CHECKPOINT = "checkpoint"
    WAITING = "waiting"
    """For other processes."""
    PROFILING = "profiling"
    """Writing the trace."""
    OTHER = "other"
    """All that no section names."""


Span = Callable[[str], AbstractContextManager[object]]


class Clock:
    """Adds up how long each part took; starts in `Part.OTHER`.

    Args:
        border: called where one section meets the next, e.g. to wait for a device.
        span: opened around each section, e.g. to mark it in a trace.
        now: nanoseconds, never going back.
    """

    def __init__(
        self,
        *,
        border: Callable[[], None] = lambda: None,
        span: Span = lambda _: nullcontext(),
        now: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._border, self._span, self._now = border, span, now
        self._inside = Part.OTHER
        self._spent: dict[Part, int] = {Part.OTHER: 0}
        self._began = self._since = now()

    @contextmanager
    def section(self, part: Part) -> Generator[None]:
        """Time within the block belongs to `part`, except for what inner sections take."""
        outer = self._enter(part)
        try:
            with self._span(part):
                yield
        finally:
            self._enter(outer)

    def spent(self) -> dict[Part, int]:
        """Nanoseconds of every part that was entered so far, in the order of `Part`."""
        self._enter(self._inside)
        return {part: self._spent[part] for part in Part if part in self._spent}

    def total(self) -> int:
        """Nanoseconds between the start and the newest border: the sum of all parts."""
        return self._since - self._began

    def _enter(self, part: Part) -> Part:
        """Gives the time since the last border to the section it belongs to."""
        self._border()
        now, outer = self._now(), self._inside
        self._spent[outer] += now - self._since
        self._spent.setdefault(part, 0)
        self._since, self._inside = now, part
        return outer


_clock: ContextVar[Clock | None] = ContextVar("fairlead_clock", default=None)
_UNTIMED = nullcontext()


@contextmanager
def timed(clock: Clock) -> Generator[Clock]:
    """Sections within the block are kept by this clock."""
    token = _clock.set(clock)
    try:
        yield clock
    finally:
        _clock.reset(token)


def section(part: Part) -> AbstractContextManager[None]:
    """A part of the work: timed where a clock runs, free of charge where none does."""
    clock = _clock.get()
    return _UNTIMED if clock is None else clock.section(part)
