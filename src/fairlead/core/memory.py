"""Peak memory of this process, per piece of work."""

import resource
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def forget_peak() -> None:
    """Starts a new measurement; without effect where the system has no such thing."""
    try:
        CLEAR.write_text("5")
    except OSError:
        return


def peak_mib() -> float:
    """Most resident memory since `forget_peak` (or since the start), in MiB."""
    try:
        lines = STATUS.read_text().splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
