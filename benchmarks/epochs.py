"""How a measured process runs one epoch at a time, so that rounds of several can be interleaved.

The process answers every line it reads ("go") with one epoch and one line of JSON; end of input
ends it. Whatever libraries print goes to standard error.
"""

import json
import os
import sys
import time
from typing import Any

from benchmarks.work import machine_busy, peak_mib, resident_mib


class Epochs:
    """Called at the borders of epochs by a training loop that would otherwise run on.

    Made before anything prints; `loaded` is called when the model is in memory.
    """

    def __init__(self) -> None:
        self.answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self.before = 0.0
        self.facts: dict[str, Any] = {}
        self.started = self.started_cpu = self.busy = 0.0
        self.steps: list[dict[str, float]] = []

    def loaded(self) -> None:
        """Memory from here on counts as the method's own."""
        self.before = resident_mib()

    def begin(self, **facts: Any) -> None:
        """Waits for leave to run the next epoch.

        Args:
            facts: what the first answer also says.
        """
        self.facts |= facts
        if not sys.stdin.readline():
            raise SystemExit
        self.steps = []
        self.busy = machine_busy()
        self.started, self.started_cpu = time.perf_counter(), time.process_time()

    def step(self, loss: float, gradient_norm: float) -> None:
        """Notes an optimizer step."""
        self.steps.append({"loss": loss, "gradient_norm": gradient_norm})

    def end(self) -> None:
        """Answers with what the epoch took."""
        seconds = time.perf_counter() - self.started
        cpu = time.process_time() - self.started_cpu
        memory = {"before_mib": self.before, "above_mib": peak_mib() - self.before}
        answer = {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "others_cpu_seconds": max(machine_busy() - self.busy - cpu, 0.0),
            **memory,
            "steps": self.steps,
            **self.facts,
        }
        self.answers.write(json.dumps(answer) + "\n")
        self.answers.flush()
