"""A pool of helper processes that answer questions in bounded time: the late ones are killed."""

import atexit
import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairlead.core.errors import ConfigError, ServiceError

START_SECONDS = 120.0
"""Importing a library may take this long on a busy machine; questions are not asked before."""


class Worker:
    """One helper process, run from a script that answers lines of JSON."""

    def __init__(self, script: Path, memory_bytes: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(script), str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            # One order of sets in every process, and the places where this one finds packages.
            env={"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._unread = b""
        if self._line(START_SECONDS) is None:
            self.stop()
            raise ServiceError(
                "a helper process did not start",
                where=script.name,
                remedy="run the script by hand to see why",
            )

    def ask(self, question: Mapping[str, Any], seconds: float) -> dict[str, Any] | None:
        """The answer, or None where it does not come in time or the process died over it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        return self._line(seconds)

    def _line(self, seconds: float) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        pipe, deadline = self.process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                return None
            chunk = os.read(pipe, 65536)
            if not chunk:
                return None
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """Kills it and waits until it is gone."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


class Pool:
    """Workers of one script; each thread that asks has one to itself while it asks."""

    def __init__(self, script: Path, memory_bytes: int) -> None:
        self._script, self._memory = script, memory_bytes
        self._idle: list[Worker] = []
        self._owner = os.getpid()
        self._lock = threading.Lock()
        atexit.register(self.close)

    def ask(self, question: Mapping[str, Any], seconds: float) -> dict[str, Any] | str:
        """The answer; or `timeout` or `memory` where a worker was lost over the question."""
        worker = self._taken()
        try:
            answer = worker.ask(question, seconds)
        except BaseException:
            worker.stop()
            raise
        if answer is not None:
            with self._lock:
                self._idle.append(worker)
            return answer
        late = worker.alive
        worker.stop()
        return "timeout" if late else "memory"

    def close(self) -> None:
        """Stops all idle workers of this process."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._owner == os.getpid():
            for worker in idle:
                worker.stop()

    def _taken(self) -> Worker:
        with self._lock:
            if self._owner != os.getpid():  # A forked copy must not read its parent's answers.
                self._idle, self._owner = [], os.getpid()
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                worker.stop()
        return Worker(self._script, self._memory)


def require_package(module: str, what: str) -> None:
    """Makes sure that an optional package is there before a worker needs it.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"{what}, which is not installed", remedy="pip install 'fairlead[math]'")
