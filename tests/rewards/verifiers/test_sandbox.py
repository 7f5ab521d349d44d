import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from fairlead.core.errors import ConfigError
from fairlead.rewards.verifiers import sandbox
from fairlead.rewards.verifiers.sandbox import Limits, run_program

QUICK = Limits(wall_seconds=5.0)
HASTY = Limits(wall_seconds=0.5)
IN_CHECKERS = f"import os, sys; sys.path.append({str(sandbox.HERE)!r})\n"


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(tmp_path, monkeypatch):
    """Whatever a test runs, neither its files nor its processes outlive it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(psutil.Process().children(recursive=True))
    yield
    assert list(tmp_path.glob("fairlead-*")) == []
    assert set(psutil.Process().children(recursive=True)) == before


def python(source: str) -> str:
    """Output of a program that nothing confines from outside."""
    command = [sys.executable, "-c", IN_CHECKERS + source]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout


def test_a_program_runs_and_prints():
    ended = run_program("import hashlib, ssl, sqlite3, decimal\nprint(6 * 7)", QUICK)
    assert (ended.output, ended.status, ended.stopped) == (b"42\n", 0, "")


def test_its_own_folder_is_empty_and_can_be_written():
    source = """
import os, tempfile
print(os.listdir())
open("a", "w").write("42"); os.rename("a", "b"); print(open("b").read(), os.listdir())
tempfile.TemporaryFile().write(b"x"); os.remove("b"); print(os.listdir())
"""
    assert run_program(source, QUICK).output.decode().split("\n") == ["[]", "42 ['b']", "[]", ""]


@pytest.mark.parametrize(
    "source",
    [
        "open({outside!r}).read()",
        "open({outside!r}, 'w')",
        "open({outside!r}, 'a')",
        "__import__('os').unlink({outside!r})",
        "__import__('os').rename({outside!r}, 'mine')",
        "__import__('os').link({outside!r}, 'mine')",
        "__import__('os').symlink({outside!r}, 'mine')",
        "__import__('os').mkdir('folder')",
        "__import__('os').chmod({outside!r}, 0o777)",
        "__import__('os').chown('.', 0, 0)",
        "__import__('os').listdir('/')",
        "open('/etc/passwd')",
        "open('/proc/self/environ')",
        "open('/dev/zero', 'rb')",
        "__import__('socket').socket()",
        "__import__('socket').socketpair()",
        "__import__('os').fork()",
        "__import__('os').kill({parent}, 9)",
        "__import__('os').killpg(0, 9)",
        "__import__('os').setsid()",
        "__import__('os').execv('/bin/sh', ['sh'])",
        "__import__('subprocess').run(['true'])",
        "__import__('fcntl').fcntl(0, 8, {parent})",
    ],
)
def test_what_is_outside_cannot_be_touched(source, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("kept")
    ended = run_program(source.format(outside=str(outside), parent=os.getpid()), QUICK)
    assert b"PermissionError" in ended.output
    assert ended.status == 1
    assert outside.read_text() == "kept"


def test_no_thread_and_no_secret_of_the_environment(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "secret")
    started = run_program("import threading\nthreading.Thread(target=print).start()", QUICK)
    assert b"can't start new thread" in started.output
    source = "import os, sys\nprint(len(sys.stdin.read()), sys.argv, *sorted(os.environ))"
    said = run_program(source, QUICK).output.decode().split()
    assert said[:2] == ["0", "['-c']"]
    assert set(said[2:]) == {"LC_CTYPE", "PYTHONHASHSEED", "TMPDIR"}


def test_limits_cannot_be_raised():
    source = "import resource as r\nr.setrlimit(r.RLIMIT_AS, (10**12, 10**12))"
    assert b"not allowed to raise maximum limit" in run_program(source, QUICK).output


def test_raw_system_calls_are_refused_too():
    # getpid is listed; ptrace, mount and the 32-bit calls are not.
    source = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
calls = {getpid}, {ptrace}, {mount}
print([(libc.syscall(n, 0, 0, 0, 0) > 0, ctypes.get_errno()) for n in calls])
"""
    numbers = {"x86_64": (39, 101, 165), "aarch64": (172, 117, 40)}[os.uname().machine]
    named = dict(zip(("getpid", "ptrace", "mount"), numbers, strict=True))
    output = run_program(source.format(**named), QUICK).output
    assert output == b"[(True, 0), (False, 1), (False, 1)]\n"


@pytest.mark.parametrize(
    ("source", "limits", "stopped"),
    [
        ("while True: pass", HASTY, "timeout"),
        ("import time\ntime.sleep(60)", HASTY, "timeout"),
        ("import os, time; os.closerange(0, 9); time.sleep(9)", HASTY, "timeout"),
        ("while True: print('x' * 1000)", QUICK, "output"),
        ("n = 0\nwhile True: n += 1; open(str(n), 'w').write('x' * 10**6)", QUICK, "disk"),
    ],
)  # fmt: skip
def test_limits_stop_it(source, limits, stopped):
    began = time.monotonic()
    ended = run_program(source, limits)
    assert (ended.stopped, ended.status) == (stopped, None)
    assert time.monotonic() - began < 4
    assert len(ended.output) < limits.output_bytes + 100_000


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ("x = bytearray(10 * 2**30)", 1, b"MemoryError"),
        ("open('big', 'wb').write(bytes(17 * 2**20))", 1, b"File too large"),
        ("files = [open(str(i), 'w') for i in range(100)]", 1, b"Too many open files"),
        ("def f(): f()\nf()", 1, b"RecursionError"),
        ("import os\nos._exit(7)", 7, b""),
        ("import ctypes\nctypes.string_at(0)", -11, b""),
    ],
)
def test_faults_end_it(source, status, said):
    ended = run_program(source, QUICK)
    assert (ended.status, ended.stopped) == (status, "")
    assert said in ended.output


def test_processor_time_is_bounded_by_itself():
    ended = run_program("while True: pass", Limits(wall_seconds=10, cpu_seconds=1))
    assert (ended.status, ended.stopped) == (-9, "")


def test_sets_have_one_order():
    source = "print(list({str(i) for i in range(50)}))"
    assert run_program(source, QUICK).output == run_program(source, QUICK).output


def test_the_self_test_finds_every_hole_of_a_process_that_is_not_confined(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    names = python(
        f"from confined.escapes import attempts, escaped\n"
        f"os.chdir({str(tmp_path)!r})\n"
        f"given = {str(secret)!r}, {str(tmp_path)!r}, os.getppid()\n"
        f"print(*set(attempts(*given)) - set(escaped(*given)), sep=',')"
    )
    # Yama, where it is on, keeps even an unconfined process from its parent's memory.
    assert set(names.strip().split(",")) <= {"", "read the memory of its parent"}


@pytest.mark.parametrize(
    ("part", "holes", "closed"),
    [
        ("kernel.confine_calls()", {"read a file outside"}, {"open a socket", "start a process"}),
        (
            "kernel.confine_files(sandbox_paths, '.')",
            {"open a socket", "start a process", "change the rights of a file outside"},
            {"read a file outside", "write a file outside", "list a folder outside"},
        ),
    ],
)
def test_each_part_closes_what_the_other_leaves_open(part, holes, closed, tmp_path):
    (tmp_path / "own").mkdir()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    names = python(
        f"from confined import escapes, kernel\n"
        f"sandbox_paths = {sandbox._readable()!r}\n"
        f"os.chdir({str(tmp_path / 'own')!r}); parent = os.getppid(); kernel.drop_privileges()\n"
        f"{part}\n"
        f"print(*escapes.escaped({str(secret)!r}, {str(tmp_path)!r}, parent), sep=',')"
    )
    found = set(names.strip().split(","))
    assert holes <= found
    assert not closed & found


def test_without_landlock_nothing_is_run():
    """A filter that hides Landlock is put before all that this process does, as in a container."""
    source = f"""
from confined.kernel import *
drop_privileges()
install([Step(LOAD, 0), Step(EQUALS, CREATE_RULESET, 0, 1), Step(RETURN, 0x50000 | errno.ENOSYS),
         Step(RETURN, ALLOW)])
sys.path[:0] = {sys.path!r}
from fairlead.core.errors import ConfigError
from fairlead.rewards.verifiers.sandbox import Limits, run_program
try:
    print(run_program("print('ran')", Limits()))
except ConfigError as error:
    print(error.got)
"""
    assert python(source) == "Landlock: this kernel does not offer it\n"


def test_the_refusal_says_what_to_do():
    error = sandbox._refusal("Landlock: this kernel does not offer it")
    assert isinstance(error, ConfigError)
    assert "Linux 5.13" in error.expected and "landlock_*" in error.remedy


def test_the_shared_library_is_readable_and_nothing_near_it():
    readable = sandbox._readable()
    assert all(Path(p).exists() for p in readable)
    assert not {"/", "/usr", "/usr/lib", "/etc", "/home", "/root"} & set(readable)
