import os
import platform
import subprocess
import sys

import pytest

from fairlead.core.allocator import SWITCH, tunable

FAULTS = """
import resource
from fairlead.core.allocator import tune_allocator
tuned = tune_allocator() and tune_allocator()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        bytearray(32 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(int(tuned), faults())
"""

glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or "LD_PRELOAD" in os.environ,
    reason="the C library's allocator is not glibc's",
)


def _faults(switch: str) -> tuple[int, int]:
    """Whether the allocator was tuned, and the page faults of filling 32 MiB eight times."""
    environment = {**os.environ, SWITCH: switch}
    command = [sys.executable, "-c", FAULTS]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    tuned, faults = map(int, out.stdout.split())
    return tuned, faults


@glibc
def test_freed_memory_is_used_again_without_page_faults():
    tuned, faults = _faults("1")
    assert tuned == 1
    assert faults < 100


@glibc
def test_switched_off_every_block_faults_its_pages_again():
    tuned, faults = _faults("0")
    assert tuned == 0
    assert faults > 100


def test_leaves_other_allocators_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.setenv("LD_PRELOAD", "libjemalloc.so.2")
    assert not tunable()
