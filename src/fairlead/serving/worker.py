"""The one thread that owns the model: takes requests from a queue, answers, and never hangs.

Whatever happens to the thread, every request gets an answer: replies, or the reason why there are
none.
"""

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from fairlead.core.errors import FairleadError
from fairlead.serving.orders import Job, Piece
from fairlead.serving.problems import Broken, Overloaded, Stopping, failed

if TYPE_CHECKING:
    import asyncio

MEASURED = 64
"""Requests whose ends tell how fast places become free."""

Event = Piece | FairleadError


class Runner(Protocol):
    """What answers jobs: all together token by token, or one after the other."""

    def __len__(self) -> int:
        """Replies under way."""
        ...

    @property
    def free(self) -> int:
        """Places for jobs that could begin now."""
        ...

    def places(self, job: Job) -> int:
        """How many places a job takes."""
        ...

    def prepare(self) -> None:
        """Does what is to be done once, before the first job."""
        ...

    def chosen(self, waiting: deque[Job]) -> list[Job]:
        """Takes from the front of the queue what has room now."""
        ...

    def drop(self, jobs: Sequence[Job]) -> None:
        """Forgets these jobs."""
        ...

    def turn(self, new: Sequence[Job]) -> Sequence[tuple[Job, Event]]:
        """Goes a step on with all jobs, new ones included; what there is to tell."""
        ...


@dataclass(frozen=True)
class Load:
    """How busy the worker is."""

    running: int
    """Requests whose replies are being made."""
    rows: int
    """Replies that are being made."""
    waiting: int


class Pace:
    """How fast requests end, and when a place is expected for one that is turned away."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.idle = 0.0
        """Seconds in which there was nothing to do."""
        self.ends = deque([0.0], maxlen=MEASURED)
        """When requests ended, in seconds of work; at first the beginning of all work."""
        self.promised = 0.0
        """The moment for which the last place was promised."""

    @property
    def worked(self) -> float:
        """Seconds of work."""
        return time.monotonic() - self.begun - self.idle

    def ended(self) -> None:
        """Notes that a request ended now."""
        self.ends.append(self.worked)

    def promise(self, most: float) -> float:
        """Seconds until a place is expected, behind all that were promised one before.

        Args:
            most: the longest that a request may take; there is a place by then.
        """
        now = time.monotonic()
        # Until now, so that a standstill shows.
        apart = (self.worked - self.ends[0]) / max(len(self.ends) - 1, 1)
        self.promised = min(max(now, self.promised) + apart, now + most)
        return self.promised - now


class Worker:
    """Hands jobs to a runner and their pieces to whoever waits.

    Args:
        runner: only the worker's own thread touches it once it was started.
        queue: places of jobs that may wait.
        timeout_s: the longest that a request may take.
    """

    def __init__(self, runner: Runner, *, queue: int, timeout_s: float) -> None:
        self.runner, self.queue, self.timeout_s = runner, queue, timeout_s
        self.pace = Pace()
        self.changed = threading.Condition()
        """Guards all that follows."""
        self.waiting: deque[Job] = deque()
        self.running: dict[Job, int] = {}
        """Jobs under way, and how many of their replies are not whole yet."""
        self.withdrawn: list[Job] = []
        self.failure: FairleadError | None = None
        """Why nothing can be answered any more."""
        self.draining = False
        self.thread = threading.Thread(target=self._live, name="model", daemon=True)
        self.ready = threading.Event()

    def start(self) -> None:
        """Starts the thread; returns when the model is ready.

        Raises:
            FairleadError: it failed before the first request.
        """
        self.thread.start()
        self.ready.wait()
        if self.failure is not None:
            raise self.failure

    def submit(self, job: Job) -> None:
        """Puts a job in the queue.

        Raises:
            Overloaded: the queue is full.
            Stopping: the server is being stopped.
            Broken: the model failed.
        """
        with self.changed:
            if self.failure is not None:
                raise self.failure
            if self.draining:
                raise stopping()
            ahead = sum(map(self.runner.places, self.waiting))
            if ahead + self.runner.places(job) > self.queue + self.runner.free:
                raise self._overloaded(ahead)
            self.waiting.append(job)
            self.changed.notify()

    def withdraw(self, job: Job) -> None:
        """Takes a job out, wherever it is; nothing happens where it has ended."""
        with self.changed:
            if job in self.waiting:
                self.waiting.remove(job)
            elif job in self.running:
                self.withdrawn.append(job)
                self.changed.notify()

    @property
    def load(self) -> Load:
        """How busy the worker is."""
        with self.changed:
            return Load(len(self.running), len(self.runner), len(self.waiting))

    def drain(self) -> None:
        """Takes no more jobs and answers those that wait; those under way go on."""
        with self.changed:
            self.draining = True
            turned_away = list(self.waiting)
            self.waiting.clear()
            self.changed.notify()
        _tell((job, stopping()) for job in turned_away)

    def stop(self) -> None:
        """Ends everything; jobs under way are told so."""
        self._end(stopping())

    def _overloaded(self, ahead: int) -> Overloaded:
        error = Overloaded(
            "the server has more requests than it can answer",
            expected=f"at most {self.queue} replies that wait for a place",
            got=f"{ahead}, and {len(self.runner)} being made",
        )
        error.wait_s = math.ceil(self.pace.promise(self.timeout_s))
        error.remedy = f"try again in {error.wait_s:g} s"
        return error

    # What the thread does

    def _live(self) -> None:
        try:
            with torch.no_grad():
                self.runner.prepare()
                self.ready.set()
                while (new := self._next()) is not None:
                    self._told(self.runner.turn(new))
        except Exception as error:  # whatever a model's code makes of it: nobody may wait for ever
            what = "the model failed, and nothing can be answered until the server is started again"
            self._end(failed(error, what, Broken))
        finally:
            self.ready.set()

    def _next(self) -> list[Job] | None:
        """New jobs for the next turn, after waiting for something to do; None at the end."""
        with self.changed:
            while not (self.waiting or self.running or self.withdrawn or self._over):
                begun = time.monotonic()
                self.changed.wait()
                self.pace.idle += time.monotonic() - begun
            if self._over:
                return None
            gone = [job for job in self.withdrawn if self.running.pop(job, None)]
            self.withdrawn.clear()
            if gone:
                self.runner.drop(gone)
            new = self.runner.chosen(self.waiting)
            self.running.update({job: job.order.n for job in new})
            return new

    @property
    def _over(self) -> bool:
        return self.failure is not None or (self.draining and not self.running)

    def _told(self, events: Sequence[tuple[Job, Event]]) -> None:
        """Hands pieces over; whoever has all of them is no longer running."""
        if not events:
            return
        _tell(events)
        with self.changed:
            for job, event in events:
                self._count(job, event)

    def _count(self, job: Job, event: Event) -> None:
        if isinstance(event, Piece):
            if event.finish is None or job not in self.running:
                return
            self.running[job] -= 1
            if self.running[job]:
                return
        if self.running.pop(job, None) is not None:
            self.pace.ended()

    def _end(self, why: FairleadError) -> None:
        with self.changed:
            self.failure = self.failure or why
            jobs = [*self.running, *self.waiting]
            self.running.clear()
            self.waiting.clear()
            self.changed.notify()
        _tell((job, why) for job in jobs)


def _tell(events: Iterable[tuple[Job, Event]]) -> None:
    """Puts events where the jobs' own loops wait for them."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[Job, Event]]] = defaultdict(list)
    for job, event in events:
        by_loop[job.loop].append((job, event))
    for loop, own in by_loop.items():
        with suppress(RuntimeError):  # The loop has ended, and with it whoever waited.
            loop.call_soon_threadsafe(_spread, own)


def _spread(events: Sequence[tuple[Job, Event]]) -> None:
    for job, event in events:
        job.arrived.put_nowait(event)


def stopping() -> Stopping:
    """The answer while the server ends."""
    return Stopping("the server is being stopped", remedy="try again when it is back")
