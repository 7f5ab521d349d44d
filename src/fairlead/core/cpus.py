"""How many threads suit this process, by what the machine and its container leave it."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
TOPOLOGY = Path("/sys/devices/system/cpu")
THREADS = "OMP_NUM_THREADS"
"""Environment variable by which users choose for themselves."""


def usable_cpus(cgroup: Path = CGROUP) -> int:
    """Processors this process may use: affinity, then the container's quota."""
    count = len(_allowed())
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        return max(1, min(count, round(int(quota) / int(period))))
    return count


def usable_cores(cgroup: Path = CGROUP, topology: Path = TOPOLOGY) -> int:
    """Physical cores among them: two threads on one core only wait for each other in matrix work.

    Where the system does not say which processors are siblings, each counts as a core.
    """
    siblings = {
        _read(topology / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        for cpu in _allowed()
    }
    return min(len(siblings), usable_cpus(cgroup))


def fitting_threads(cores: int, processes: int) -> int:
    """Threads of each of some processes that train together on one machine."""
    return max(cores // processes, 1)


def local_processes() -> int:
    """Processes of this run on this machine, as torchrun and accelerate tell them."""
    return max(int(os.environ.get("LOCAL_WORLD_SIZE", "1") or 1), 1)


def others_load() -> float:
    """CPUs that were busy over the last minute, on the whole machine; 0 where nobody knows."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


def _allowed() -> set[int]:
    affinity = getattr(os, "sched_getaffinity", None)
    return set(affinity(0)) if affinity else set(range(os.cpu_count() or 1))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
