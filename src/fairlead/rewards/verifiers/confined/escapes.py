"""The self-test: tries every way out that the sandbox is meant to close."""

import json
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable


def attempts(secret: str, outside: str, parent: int) -> dict[str, Callable[[], object]]:
    """What to try, by name; each raises where it is confined.

    Args:
        secret: a file outside that its owner may read and write.
        outside: the folder it lies in.
        parent: number of the process outside.
    """
    return {
        "read a file outside": lambda: open(secret).read(),
        "list a folder outside": lambda: os.listdir(outside),
        "write a file outside": lambda: open(os.path.join(outside, "written"), "w").close(),
        "link to a file outside": lambda: os.symlink(secret, "link"),
        "change the rights of a file outside": lambda: os.chmod(secret, 0o600),
        "read the memory of its parent": lambda: open(f"/proc/{parent}/mem", "rb").close(),
        "open a socket": lambda: socket.socket().close(),
        "open a local socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "start a process": _process,
        "start a thread": lambda: threading.Thread(target=int).start(),
        "run a program": _program,
        "send a signal": lambda: os.kill(parent, 0),
        "leave its process group": os.setsid,
        "raise its limits": _limits,
        "empty a file outside": lambda: os.close(os.open(secret, os.O_RDONLY | os.O_TRUNC)),
        "remove a file outside": lambda: os.unlink(secret),
    }


def _process() -> None:
    if os.fork() == 0:
        os._exit(0)


def _program() -> None:
    os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})


def _limits() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE))


def escaped(secret: str, outside: str, parent: int) -> list[str]:
    """Names of the attempts that succeeded."""
    done: list[str] = []
    for name, attempt in attempts(secret, outside, parent).items():
        try:
            attempt()
        except (OSError, RuntimeError, ValueError):
            continue
        done.append(name)
    return done


def main(secret: str, outside: str, parent: int) -> None:
    """Prints what succeeded, and what it read back from a file of its own."""
    done = escaped(secret, outside, parent)
    with open("own", "w") as file:
        file.write("own")
    with open("own") as file:
        print(json.dumps([done, file.read()]))
