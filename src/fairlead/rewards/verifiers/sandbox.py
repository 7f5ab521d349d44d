"""Runs Python that nobody vouches for, confined by the Linux kernel.

A confined program can read the interpreter's library and nothing else, write plain files into an
empty folder of its own and nowhere else, and has no network, no other process and no thread; its
processor time, time, memory, files and output are bounded. Where the kernel cannot give any one of
these, nothing is run: `require` raises. No privilege is needed, nor any other program.
"""

import functools
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fairlead.core.errors import ConfigError
from fairlead.rewards.verifiers.confined.start import REFUSED

Stopped = Literal["", "timeout", "output", "disk"]
HERE = Path(__file__).parent
START = "import sys; sys.path.append(sys.argv[1]); from confined.start import main; main()"
TICK = 0.05
"""Seconds between two looks at the folder."""
GRACE = 0.2
"""Seconds for processes that have no more work to end by themselves."""


class Limits(BaseModel):
    """What one confined process may use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wall_seconds: float = Field(default=10.0, gt=0)
    """Seconds until it is stopped, whatever it does."""
    cpu_seconds: int = Field(default=10, ge=1)
    """Processor seconds."""
    memory_bytes: int = Field(default=512 * 2**20, ge=64 * 2**20)
    """Address space; the interpreter itself takes about 20 MiB of it."""
    file_bytes: int = Field(default=16 * 2**20, ge=0)
    """Size of one file."""
    disk_bytes: int = Field(default=64 * 2**20, ge=0)
    """Size of all files together; looked at twenty times a second."""
    open_files: int = Field(default=32, ge=8)
    """Files open at once."""
    output_bytes: int = Field(default=2**20, ge=0)
    """What it may print."""


@dataclass(frozen=True)
class Job:
    """One process to be started."""

    role: Literal["program", "solution", "examiner", "escapes"]
    arguments: dict[str, Any]
    pipes: tuple[int, ...] = ()
    """File descriptors it keeps."""


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    output: bytes
    status: int | None
    """Exit status; minus the signal's number where a signal ended it; None where it was stopped."""
    stopped: Stopped = ""
    """The limit at which it was stopped."""


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    output: bytearray = field(default_factory=bytearray)


def run(jobs: Sequence[Job], limits: Limits) -> list[Ended]:
    """Runs processes beside each other until the last of the list ends; then stops the others.

    Raises:
        ConfigError: this machine cannot confine them.
    """
    try:
        require()
    except ConfigError:
        _close(jobs)
        raise
    return _run(jobs, limits)


def run_program(source: str, limits: Limits) -> Ended:
    """Runs one program.

    Raises:
        ConfigError: this machine cannot confine it.
    """
    return run([Job("program", {"source": source})], limits)[0]


@functools.cache
def _readable() -> tuple[str, ...]:
    """The interpreter's library and the shared libraries that its modules need."""
    modules = "_ctypes", "_hashlib", "_ssl", "_bz2", "_lzma", "zlib", "_sqlite3", "_decimal"
    source = f"""
import importlib, json, sysconfig
for name in {modules}:
    try: importlib.import_module(name)
    except ImportError: pass
mapped = {{line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}}
print(json.dumps(sorted(mapped) + [sysconfig.get_path(p) for p in ("stdlib", "platstdlib")]))
"""
    command = [sys.executable, "-P", "-s", "-S", "-c", source]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, env={}).stdout)
    return tuple(p for p in (*found, "/etc/ld.so.cache") if os.path.exists(p))


def _started(job: Job, folder: str, limits: Limits) -> _Running:
    # Not -I: it would ignore PYTHONHASHSEED, and the order of sets must not be left to chance.
    process = subprocess.Popen(
        [sys.executable, "-P", "-s", "-S", "-B", "-X", "utf8", "-c", START, str(HERE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PYTHONHASHSEED": "0", "TMPDIR": folder},
        start_new_session=True,
        pass_fds=job.pipes,
    )
    order = {
        "readable": _readable(),
        "folder": folder,
        "limits": limits.model_dump(exclude={"wall_seconds", "disk_bytes", "output_bytes"}),
        "parent": os.getpid(),
        "role": job.role,
        "arguments": job.arguments,
    }
    assert process.stdin is not None and process.stdout is not None
    with suppress(BrokenPipeError), process.stdin:  # One that died at birth reads nothing.
        process.stdin.write(json.dumps(order).encode())
    os.set_blocking(process.stdout.fileno(), False)
    return _Running(process)


def _run(jobs: Sequence[Job], limits: Limits) -> list[Ended]:
    with _folders(len(jobs)) as folders:
        deadline = time.monotonic() + limits.wall_seconds
        running: list[_Running] = []
        try:
            try:
                for job, folder in zip(jobs, folders, strict=True):
                    running.append(_started(job, folder, limits))
            finally:
                _close(jobs)
            stopped = _watch(running, folders, limits, deadline)
        finally:
            statuses = [_ended(one.process) for one in running]
        return [Ended(bytes(r.output), s, stopped) for r, s in zip(running, statuses, strict=True)]


def _close(jobs: Sequence[Job]) -> None:
    """Closes this process's ends of the pipes, without which no reader sees its writer go."""
    for job in jobs:
        for pipe in job.pipes:
            os.close(pipe)


@contextmanager
def _folders(count: int) -> Iterator[list[str]]:
    made = [tempfile.mkdtemp(prefix="fairlead-") for _ in range(count)]
    try:
        yield made
    finally:
        for folder in made:
            shutil.rmtree(folder)


def _watch(
    running: Sequence[_Running], folders: Sequence[str], limits: Limits, deadline: float
) -> Stopped:
    """Reads what the processes print until the last one ends or a limit is reached."""
    last = running[-1].process
    with selectors.DefaultSelector() as selector:
        for one in running:
            assert one.process.stdout is not None
            selector.register(one.process.stdout, selectors.EVENT_READ, one)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return "timeout"
            for key, _ in selector.select(min(left, TICK)):
                chunk = os.read(key.fd, 65536)
                key.data.output.extend(chunk)
                if len(key.data.output) > limits.output_bytes:
                    return "output"
                if not chunk:
                    selector.unregister(key.fileobj)
            if any(_disk(folder) > limits.disk_bytes for folder in folders):
                return "disk"
            if last.stdout not in selector.get_map():
                return _waited(running, deadline)


def _waited(running: Sequence[_Running], deadline: float) -> Stopped:
    """The last process has closed its output: it ends now, and then the others have no work."""
    try:
        running[-1].process.wait(max(deadline - time.monotonic(), 0.0))
        for one in running:
            with suppress(subprocess.TimeoutExpired):
                one.process.wait(GRACE)
    except subprocess.TimeoutExpired:
        return "timeout"
    return ""


def _disk(folder: str) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                total += entry.stat(follow_symlinks=False).st_blocks * 512 + 4096
    return total


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """Exit status of a process; where it still runs, it is killed and waited for."""
    status = process.poll()
    if status is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.stdout is not None
    process.stdout.close()
    return status


# --- the self-test -------------------------------------------------------------------------------

_LOCK = threading.Lock()


def require() -> None:
    """Makes sure, once per process, that this machine can confine a program.

    A program that tries to get out is run (`confined/escapes.py`); every attempt has to fail.

    Raises:
        ConfigError: what cannot be had, and what to do about it.
    """
    with _LOCK:
        _require(os.getpid())


@functools.cache
def _require(process: int) -> None:
    if not sys.platform.startswith("linux"):
        raise _refusal(f"the sandbox needs Linux, this is {sys.platform}")
    with tempfile.TemporaryDirectory(prefix="fairlead-") as outside:
        secret = os.path.join(outside, "secret")
        Path(secret).write_text("secret")
        arguments = {"secret": secret, "outside": outside, "parent": process}
        ended = _run([Job("escapes", arguments)], Limits())[0]
    said = ended.output.decode(errors="replace").strip()
    if ended.status == REFUSED:
        raise _refusal(said)
    try:
        escaped, own = json.loads(said)
    except ValueError:
        escaped, own = ["run the self-test at all"], "own"
    if escaped or own != "own":
        raise _refusal("a confined program could " + ", ".join(escaped) if escaped else said)


def _refusal(got: str) -> ConfigError:
    return ConfigError(
        "untrusted code cannot be confined on this machine, so it is not run",
        expected="Linux 5.13 or newer with Landlock and seccomp, on x86_64 or aarch64",
        got=got,
        remedy="run on such a kernel, with a container profile that lets landlock_* and seccomp "
        "through, or check replies without running their code",
    )
