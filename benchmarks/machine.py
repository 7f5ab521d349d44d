"""Where and with what a measurement was made."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.cli.doctor import GIB, usable_cpus, usable_memory
from fairlead.lineage.environment import library_versions

_ASK = (
    "import json; from importlib.metadata import version; "
    "print(json.dumps({n: version(n) for n in ('trl', 'torch', 'transformers')}))"
)


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


def peer_versions(python: str) -> dict[str, str]:
    """What a peer's Python holds."""
    asked = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=True)
    return json.loads(asked.stdout)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
