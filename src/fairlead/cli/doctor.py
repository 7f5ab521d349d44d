"""What this machine offers to a run, and what would make a run fail or crawl."""

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from fairlead.core.allocator import SWITCH, tunable
from fairlead.core.cpus import THREADS, others_load, usable_cores, usable_cpus
from fairlead.lineage.environment import code_version, library_versions

GIB = 2**30
LEAST_MEMORY_GIB = 4.0
"""Memory below which even the quickstart may be killed."""

_CGROUP = Path("/sys/fs/cgroup")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gpu(_Frozen):
    """A CUDA device."""

    name: str
    """Model name."""
    memory_gib: float
    """Its memory in GiB."""
    bfloat16: bool
    """Whether it computes in bfloat16."""


class Warning(_Frozen):
    """Something that will make runs fail or slow, and the cure."""

    what: str
    """What was found."""
    remedy: str
    """What to do about it."""


class Diagnosis(_Frozen):
    """What `fairlead doctor` found."""

    versions: dict[str, str]
    """Fairlead, Python and the libraries that can change a result."""
    platform: str
    """Operating system and processor."""
    cpus: int
    """Processors this process may use, after affinity and container limits."""
    threads: int
    """Threads that torch computes with."""
    memory_gib: float
    """Memory this process may use in GiB, after container limits."""
    gpus: tuple[Gpu, ...]
    """CUDA devices that torch can use."""
    optional: dict[str, str | None]
    """Version of each optional package as "extra: package"; None where it is not installed."""
    allocator: tuple[str, ...]
    """How memory is allocated, and settings known to speed it up."""
    warnings: tuple[Warning, ...]
    """What to repair before a long run."""

    @property
    def ok(self) -> bool:
        """Whether nothing needs repair."""
        return not self.warnings


def doctor() -> Diagnosis:
    """Looks at the machine; changes and downloads nothing."""
    code = code_version()
    gpus = tuple(_gpu(index) for index in range(torch.cuda.device_count()))
    cpus, threads, memory = usable_cpus(), torch.get_num_threads(), usable_memory() / GIB
    return Diagnosis(
        versions={"fairlead": code.version, **library_versions()},
        platform=f"{platform.system()} {platform.machine()}",
        cpus=cpus,
        threads=threads,
        memory_gib=round(memory, 1),
        gpus=gpus,
        optional=optional_packages(),
        allocator=tuple(_allocator_hints(bool(gpus))),
        warnings=tuple(
            _warnings(
                cpus=usable_cores(),
                threads=threads,
                memory_gib=memory,
                gpus=gpus,
                load=others_load(),
            )
        ),
    )


def render(diagnosis: Diagnosis) -> str:
    """A diagnosis as plain text for a terminal."""
    gpus = [f"{gpu.name}, {gpu.memory_gib:.0f} GiB" for gpu in diagnosis.gpus]
    machine = [
        diagnosis.platform,
        f"{diagnosis.cpus} CPUs (torch uses {diagnosis.threads}), {diagnosis.memory_gib:.1f} GiB",
        *(gpus or ["no CUDA device: training runs on the CPU"]),
    ]
    optional = [f"{name} {found or 'not installed'}" for name, found in diagnosis.optional.items()]
    repairs = [f"{warning.what}\n    {warning.remedy}" for warning in diagnosis.warnings]
    sections = {
        "Versions": [f"{name} {version}" for name, version in diagnosis.versions.items()],
        "Machine": machine,
        "Optional packages": optional,
        "Memory allocation": list(diagnosis.allocator),
        "To repair": repairs or ["nothing"],
    }
    return "\n\n".join("\n  ".join([title, *lines]) for title, lines in sections.items() if lines)


def usable_memory() -> int:
    """Bytes of memory this process may use: the machine's, then the container's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read(_CGROUP / "memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def optional_packages() -> dict[str, str | None]:
    """Versions of the packages that Fairlead's extras name; None where one is not installed."""
    found: dict[str, str | None] = {}
    for requirement in metadata.requires("fairlead") or []:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        name = re.match(r"[\w.-]+", requirement)
        if extra and name:
            found[f"{extra.group(1)}: {name.group()}"] = _version(name.group())
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _gpu(index: int) -> Gpu:
    properties = torch.cuda.get_device_properties(index)
    return Gpu(
        name=properties.name,
        memory_gib=round(properties.total_memory / GIB, 1),
        bfloat16=properties.major >= 8,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _allocator_hints(cuda: bool) -> list[str]:
    """What is set, and what was measured to help where it is not."""
    if cuda:
        names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
        setting = next((f"{name}={os.environ[name]}" for name in names if os.environ.get(name)), "")
        return [setting or "set PYTORCH_ALLOC_CONF=expandable_segments:True against fragmentation"]
    if os.environ.get("LD_PRELOAD"):
        return [f"LD_PRELOAD={os.environ['LD_PRELOAD']}"]
    if tunable():
        return [f"Fairlead makes glibc keep freed memory while it trains ({SWITCH}=0 turns it off)"]
    if os.environ.get(SWITCH) == "0":
        return [f"unset {SWITCH}: every large tensor of every step now costs page faults"]
    return []


def _warnings(
    *, cpus: int, threads: int, memory_gib: float, gpus: tuple[Gpu, ...], load: float
) -> list[Warning]:
    found: list[Warning] = []
    if sys.flags.optimize:
        what = "Python runs with -O, which removes internal checks"
        found.append(Warning(what=what, remedy="start Python without -O"))
    if threads > cpus:
        what = f"torch computes with {threads} threads on {cpus} cores"
        found.append(Warning(what=what, remedy=f"set {THREADS}={cpus}"))
    elif not gpus and round(load) >= 1 and round(load) + threads > cpus:
        what = f"other processes keep {load:.1f} of {cpus} cores busy, and torch wants {threads}"
        free = max(cpus - round(load), 1)
        found.append(Warning(what=what, remedy=f"set {THREADS}={free}, or wait for them"))
    if memory_gib < LEAST_MEMORY_GIB:
        what = f"only {memory_gib:.1f} GiB of memory"
        remedy = f"give the machine or container {LEAST_MEMORY_GIB:.0f} GiB or more"
        found.append(Warning(what=what, remedy=remedy))
    if torch.version.cuda and not gpus:
        what = "torch was built for CUDA but finds no device"
        remedy = "check the driver with nvidia-smi, or install a CPU build of torch"
        found.append(Warning(what=what, remedy=remedy))
    slow = [gpu.name for gpu in gpus if not gpu.bfloat16]
    if slow:
        what = f"no bfloat16 on {', '.join(slow)}"
        found.append(Warning(what=what, remedy="train in float32 there"))
    return found
