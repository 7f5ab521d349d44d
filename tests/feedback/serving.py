"""Servers as processes of their own, as people start them."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

WITHOUT_TORCH = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "accelerate", "peft"):
            raise ModuleNotFoundError(f"{name} is not for servers", name=name)

sys.meta_path.insert(0, Refuse())
from fairlead.cli.main import app
app()
"""
"""The command line in a process where these cannot be imported."""


class Server:
    """`fairlead feedback serve` with a free port unless told otherwise."""

    def __init__(self, db: str, *options: str, port: int = 0):
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "FAIRLEAD_FEEDBACK_DB": db}
        arguments = ["feedback", "serve", "--port", str(port), *options]
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-c", WITHOUT_TORCH, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.said = []
        for line in self.process.stdout:
            self.said.append(line.strip())
            if line.startswith("Serving on"):
                break
        else:
            raise RuntimeError(self.process.stderr.read())
        self.address = re.search(r"http\S+?(?=;)", self.said[-1])[0]
        self._wait()
        self.seconds = time.perf_counter() - begun

    def _wait(self) -> None:
        for _ in range(2000):
            try:
                urllib.request.urlopen(self.address + "/login", timeout=10).read()
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.005)
        raise RuntimeError("the server does not answer")

    def end(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        status = self.process.wait(timeout=30)
        self.process.stdout.close()
        self.process.stderr.close()
        return status


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """A command in a process without torch."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "feedback", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
    )
