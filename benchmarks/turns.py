"""How a measured process works one turn at a time, so that turns of several can be interleaved.

The process answers every line it reads ("go") with one turn and one line of JSON; end of input
ends it. Whatever libraries print goes to standard error.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.work import SIZES, Size, machine_busy, peak_mib, resident_mib


@dataclass(frozen=True)
class Asked:
    """What a side is asked: `python -m benchmarks.works.X SIZE MODEL SCRATCH [OPTION ...]`."""

    size: Size
    model: Path
    scratch: Path
    options: tuple[str, ...]

    @classmethod
    def from_command_line(cls) -> "Asked":
        """The arguments of this process."""
        name, model, scratch, *options = sys.argv[1:]
        return cls(SIZES[name], Path(model), Path(scratch), tuple(options))


class Turns:
    """Called at the borders of turns by a training loop that would otherwise run on.

    Made before anything prints; `loaded` is called when the model is in memory.

    Args:
        steps: optimizer steps in a turn.
        more_at_first: steps that the first turn, a warm-up, has besides.
    """

    def __init__(self, steps: int = 1, more_at_first: int = 0) -> None:
        self.answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self.steps = steps
        self.more_at_first = more_at_first
        self.before = 0.0
        self.started = self.started_cpu = self.busy = 0.0
        self.faults = 0
        self.facts: dict[str, Any] = {}
        self.done: list[dict[str, Any]] = []
        self.parts: dict[str, float] = {}
        self.lengths: list[list[int]] = []

    def loaded(self) -> None:
        """Memory from here on counts as the method's own."""
        self.before = resident_mib()

    def border(self, index: int) -> None:
        """Where step `index` begins a turn: answers with the last one, and waits for leave."""
        place = index - self.more_at_first
        if index and (place <= 0 or place % self.steps):
            return
        if index:
            self._answer()
        self._begin()

    def step(self, **values: Any) -> None:
        """Notes an optimizer step, and what it gave."""
        self.done.append(values)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time within the block counts as this part of the turn too."""
        started = time.perf_counter()
        yield
        self.parts[name] = self.parts.get(name, 0.0) + time.perf_counter() - started

    def _begin(self) -> None:
        if not sys.stdin.readline():
            raise SystemExit
        self.done, self.parts, self.lengths = [], {}, []
        self.busy, self.faults = machine_busy(), _faults()
        self.started, self.started_cpu = time.perf_counter(), time.process_time()

    def _answer(self) -> None:
        seconds = time.perf_counter() - self.started
        cpu = time.process_time() - self.started_cpu
        answer = {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "others_cpu_seconds": max(machine_busy() - self.busy - cpu, 0.0),
            "faults": _faults() - self.faults,
            "above_mib": peak_mib() - self.before,
            "steps": self.done,
            "parts": self.parts,
            "lengths": self.lengths,
            **self.facts,
        }
        self.answers.write(json.dumps(answer) + "\n")
        self.answers.flush()


def _faults() -> int:
    """Minor page faults of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
