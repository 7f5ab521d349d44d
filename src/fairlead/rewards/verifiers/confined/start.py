"""First lines of every confined process: read the order, confine, then run what it says."""

import importlib
import json
import os
import sys
from typing import Any

from . import kernel

REFUSED = 97
"""Exit status where confinement could not be had; the message is on standard output."""


def main() -> None:
    """Reads the order from standard input, confines this process and carries it out."""
    order: dict[str, Any] = json.loads(sys.stdin.buffer.read())
    role = importlib.import_module(f".{order['role']}", __package__)
    sys.path.remove(sys.argv[1])
    del sys.argv[1:]
    try:
        kernel.confine(order["readable"], order["folder"], order["limits"], order["parent"])
    except OSError as error:
        print(error, flush=True)
        os._exit(REFUSED)
    role.main(**order["arguments"])
    # Nothing is left to tidy: the interpreter's own way out takes longer than most programs.
    sys.stdout.flush()
    os._exit(0)
