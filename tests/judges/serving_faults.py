"""The faulty server as a process: started, killed, started again; and what it has counted."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent


class Faulty:
    """One server; its counts outlive its processes."""

    def __init__(self, counts: Path, faults: str = "all") -> None:
        self.counts, self.faults, self.port = counts, faults, 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, HERE / "faulty_server.py", self.counts, str(self.port)]
        self.process = subprocess.Popen([*command, self.faults], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def kill(self) -> None:
        """As the kernel does it: no goodbye."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def counted(self, table: str) -> Counter[str]:
        """How often each key was received or completed."""
        with closing(sqlite3.connect(self.counts)) as connection:
            asked = f"SELECT key, count(*) FROM {table} GROUP BY 1"
            return Counter(dict(connection.execute(asked)))

    def wait_for(self, completed: int, *, seconds: float = 240.0) -> None:
        """Until so many answers were completed."""
        until = time.monotonic() + seconds
        while self.counted("completed").total() < completed:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.counted('completed').total()} of {completed}")
            time.sleep(0.1)


def kept(cache: Path) -> set[str]:
    """Keys of the answers in a client's cache."""
    with closing(sqlite3.connect(cache)) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM answers")}


def attempts(cache: Path) -> Counter[tuple[str, str]]:
    """How often each key's attempts had each outcome; no outcome is an empty one."""
    with closing(sqlite3.connect(cache)) as connection:
        asked = "SELECT key, outcome, count(*) FROM attempts GROUP BY 1, 2"
        return Counter({(key, how): n for key, how, n in connection.execute(asked)})
