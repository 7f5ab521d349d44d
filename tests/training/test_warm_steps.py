"""What a training step costs the kernel once it is warm: next to nothing, however long it runs."""

import json
import os
import platform
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from fairlead.core.allocator import SWITCH

WARM = 100
STEPS = 500
MIB = 2**20

glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or "LD_PRELOAD" in os.environ,
    reason="the C library's allocator is not glibc's",
)


def _trained(steps: int, folder: Path) -> dict[str, list[int]]:
    """Page faults so far and resident bytes at the beginning of each step, in a fresh process."""
    here = Path(__file__).parent
    command = [sys.executable, str(here / "warm_steps.py"), str(steps), str(folder)]
    environment = {**os.environ, SWITCH: "1", "PYTHONPATH": str(here.parent)}
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(out.stdout.splitlines()[-1])


@glibc
@pytest.mark.slow
def test_warm_steps_fault_no_pages_and_memory_does_not_grow(tmp_path: Path):
    counted = _trained(WARM + STEPS, tmp_path)
    faults, resident = counted["faults"][WARM:], counted["resident"][WARM:]
    assert len(faults) == STEPS
    assert (faults[-1] - faults[0]) / (STEPS - 1) < 100
    # Not in bursts either: hardly a step has more.
    assert sum(b - a >= 100 for a, b in pairwise(faults)) < STEPS / 50
    assert resident[-1] - resident[0] < 4 * MIB
    assert max(resident) - resident[0] < 8 * MIB
