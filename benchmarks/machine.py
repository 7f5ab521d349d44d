"""Where and with what a measurement was made."""

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.cli.doctor import GIB, usable_cpus, usable_memory
from fairlead.lineage.environment import library_versions


def describe() -> dict[str, Any]:
    """The machine, our versions and the date."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cpus": usable_cpus(),
        "memory_gib": round(usable_memory() / GIB, 1),
        "platform": platform.platform(),
        "versions": library_versions(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
