"""Asks the Linux kernel to confine this process, for good and without any privilege.

Three parts, each enough to be worth having and none enough alone:

- Landlock decides which files can be opened (landlock(7), Linux 5.13).
- A seccomp filter decides which system calls exist (seccomp(2)). It lists what an interpreter
  needs; everything else, such as sockets, new processes and threads, signals to others and changes
  of ownership, fails with "operation not permitted".
- Resource limits bound processor time, memory and files (setrlimit(2)).
"""

import ctypes
import errno
import os
import resource
import signal
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

LIBC = ctypes.CDLL(None, use_errno=True)


class Unconfined(OSError):
    """A part of the confinement that this kernel does not give."""


# --- files: Landlock -----------------------------------------------------------------------------

READ_FILE, READ_DIR = 1 << 2, 1 << 3
WRITE_FILE, REMOVE_FILE, MAKE_FILE, TRUNCATE = 1 << 1, 1 << 5, 1 << 8, 1 << 14
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights over files each version of Landlock knows; 16 from version 5 on."""


def landlock_version() -> int:
    """Version of Landlock that this kernel has; 0 where it has none or has it switched off."""
    return max(LIBC.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)), 0)


def confine_files(readable: Iterable[str], folder: str) -> None:
    """Leaves `readable` to be read and plain files in `folder` to be written; nothing else.

    The folder stays flat: no folders, links, sockets or pipes can be made in it.
    """
    version = landlock_version()
    if not version:
        raise Unconfined("Landlock: this kernel does not offer it")
    every = (1 << RIGHTS.get(version, 16)) - 1
    # From version 4 on also no TCP port, from version 6 on no signal to a process outside.
    size = 8 if version < 4 else 16 if version < 6 else 24
    attributes = struct.pack("QQQ", every, 3, 3)[:size]
    ruleset = _called("Landlock", CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    for path in readable:
        _allow(ruleset, path, READ_FILE | READ_DIR if os.path.isdir(path) else READ_FILE)
    writing = WRITE_FILE | REMOVE_FILE | MAKE_FILE | TRUNCATE
    _allow(ruleset, folder, (READ_FILE | READ_DIR | writing) & every)
    _called("Landlock", RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = struct.pack("=Qi", rights, target)
    _called("Landlock", ADD_RULE, ruleset, 1, rule, 0)
    os.close(target)


# --- system calls: seccomp -----------------------------------------------------------------------


class Machine(NamedTuple):
    """Numbers of one processor family."""

    audit: int
    """How seccomp names it."""
    calls: tuple[int, ...]
    """System calls that an interpreter needs and that touch nobody else."""
    ioctl: int
    fcntl: int
    opens: Mapping[int, int]
    """Calls that open a file, with the position of their flags."""


# fmt: off
MACHINES = {
    "x86_64": Machine(0xC000003E, (
        # read write close stat fstat lstat poll lseek mmap mprotect munmap brk
        0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
        # rt_sigaction rt_sigprocmask rt_sigreturn pread64 pwrite64 readv writev access pipe select
        13, 14, 15, 17, 18, 19, 20, 21, 22, 23,
        # sched_yield mremap madvise dup dup2 nanosleep getpid exit uname fsync ftruncate getcwd
        24, 25, 28, 32, 33, 35, 39, 60, 63, 74, 77, 79,
        # rename unlink readlink gettimeofday getrlimit getrusage sysinfo times
        82, 87, 89, 96, 97, 98, 99, 100,
        # getuid getgid geteuid getegid getppid sigaltstack gettid time futex sched_getaffinity
        102, 104, 107, 108, 110, 131, 186, 201, 202, 204,
        # getdents64 clock_gettime clock_getres clock_nanosleep exit_group newfstatat unlinkat
        217, 228, 229, 230, 231, 262, 263,
        # readlinkat faccessat pselect6 ppoll set_robust_list dup3 pipe2 renameat2 getrandom
        267, 269, 270, 271, 273, 292, 293, 316, 318,
        # statx rseq faccessat2
        332, 334, 439,
    ), ioctl=16, fcntl=72, opens={2: 1, 257: 2}),
    "aarch64": Machine(0xC00000B7, (
        # getcwd dup dup3 unlinkat renameat ftruncate faccessat close pipe2 getdents64 lseek
        17, 23, 24, 35, 38, 46, 48, 57, 59, 61, 62,
        # read write readv writev pread64 pwrite64 pselect6 ppoll readlinkat newfstatat fstat fsync
        63, 64, 65, 66, 67, 68, 72, 73, 78, 79, 80, 82,
        # exit exit_group futex set_robust_list nanosleep clock_gettime clock_getres
        93, 94, 98, 99, 101, 113, 114,
        # clock_nanosleep sched_getaffinity sched_yield sigaltstack rt_sigaction rt_sigprocmask
        115, 123, 124, 132, 134, 135,
        # rt_sigreturn times uname getrlimit getrusage gettimeofday getpid getppid getuid geteuid
        139, 153, 160, 163, 165, 169, 172, 173, 174, 175,
        # getgid getegid gettid sysinfo brk munmap mremap mmap mprotect madvise renameat2
        176, 177, 178, 179, 214, 215, 216, 222, 226, 233, 276,
        # getrandom statx rseq faccessat2
        278, 291, 293, 439,
    ), ioctl=29, fcntl=25, opens={56: 2}),
}
# fmt: on

LOAD, AND, EQUALS, RETURN = 0x20, 0x54, 0x15, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
TERMINAL = (0x5401, 0x5450, 0x5451)
"""Is it a terminal? Close it at exec, or not. Other requests change a file or who owns it."""
DESCRIPTORS = (0, 1, 2, 3, 4, 1030)
"""Duplicate, get and set flags. Other commands can have signals sent to any process of the user."""


class Step(NamedTuple):
    """One instruction of the filter."""

    code: int
    value: int
    if_equal: int = 0
    """How many instructions a comparison that holds leaves out."""
    if_not: int = 0
    """How many instructions a comparison that fails leaves out."""


def filter_steps(machine: Machine) -> list[Step]:
    """The filter: kills foreign machine code, refuses every call that is not listed."""
    steps = [Step(LOAD, 4), Step(EQUALS, machine.audit, 1), Step(RETURN, KILL), Step(LOAD, 0)]
    steps += _allowed(machine.calls)
    for call, commands in ((machine.ioctl, TERMINAL), (machine.fcntl, DESCRIPTORS)):
        steps += _for(call, 1, [*_allowed(commands), Step(RETURN, REFUSE)])
    # Before Landlock 3 a file opened for reading could be emptied without the right to write.
    bits, emptied = os.O_ACCMODE | os.O_TRUNC, os.O_RDONLY | os.O_TRUNC
    for call, flags in machine.opens.items():
        test = [Step(AND, bits), Step(EQUALS, emptied, 0, 1), Step(RETURN, REFUSE)]
        steps += _for(call, flags, [*test, Step(RETURN, ALLOW)])
    return [*steps, Step(RETURN, REFUSE)]


def _allowed(values: Iterable[int]) -> list[Step]:
    return [s for v in values for s in (Step(EQUALS, v, 0, 1), Step(RETURN, ALLOW))]


def _for(call: int, argument: int, steps: list[Step]) -> list[Step]:
    """For this call only: loads an argument and goes through the steps."""
    return [Step(EQUALS, call, 0, len(steps) + 1), Step(LOAD, 16 + 8 * argument), *steps]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def confine_calls() -> None:
    """Leaves this process the listed system calls only.

    Raises:
        Unconfined: the processor family is not known here, or the kernel has no seccomp filters.
    """
    machine = MACHINES.get(os.uname().machine)
    if machine is None:
        raise Unconfined(f"seccomp: no list of system calls for {os.uname().machine}")
    install(filter_steps(machine))


def install(steps: Sequence[Step]) -> None:
    """Puts a filter before every system call of this process and of those it starts."""
    code = b"".join(struct.pack("HBBI", s.code, s.if_equal, s.if_not, s.value) for s in steps)
    program = _Program(len(steps), code)
    _control("seccomp", SET_SECCOMP, 2, ctypes.byref(program))


# --- the rest ------------------------------------------------------------------------------------

SET_DEATH_SIGNAL, SET_SECCOMP, NO_NEW_PRIVILEGES = 1, 22, 38
CAPABILITIES_VERSION, READ_EVERYWHERE = 0x20080522, 1 << 2


def confine_resources(limits: Mapping[str, int]) -> None:
    """Bounds processor seconds, bytes of memory, bytes per file, open files; no core dumps."""
    cpu = limits["cpu_seconds"]
    for what, value in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, 1),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (value, value))


def drop_privileges() -> None:
    """Root keeps one privilege, to read the interpreter's library wherever it is installed."""
    _control("no_new_privs", NO_NEW_PRIVILEGES, 1, 0)
    header = struct.pack("Ii", CAPABILITIES_VERSION, 0)
    if os.geteuid() == 0:
        kept = struct.pack("6I", READ_EVERYWHERE, READ_EVERYWHERE, 0, 0, 0, 0)
        if LIBC.capset(header, kept):
            raise Unconfined(f"capset: {os.strerror(ctypes.get_errno())}")


def confine(readable: Iterable[str], folder: str, limits: Mapping[str, int], parent: int) -> None:
    """Confines this process: it dies with `parent`, works in `folder`, and cannot get out.

    Raises:
        Unconfined: a part cannot be had; the process must then not run what it was started for.
    """
    _control("death signal", SET_DEATH_SIGNAL, signal.SIGKILL, 0)
    if os.getppid() != parent:
        raise Unconfined("the process that asked for this one is gone")
    os.chdir(folder)
    drop_privileges()
    confine_files(readable, folder)
    confine_resources(limits)
    confine_calls()


def _called(part: str, number: int, *arguments: object) -> int:
    result = LIBC.syscall(number, *arguments)
    if result < 0:
        raise Unconfined(f"{part}: {os.strerror(ctypes.get_errno())}")
    return result


def _control(part: str, option: int, value: int, argument: object) -> None:
    if LIBC.prctl(option, value, argument, 0, 0):
        raise Unconfined(f"{part}: {os.strerror(ctypes.get_errno())}")
