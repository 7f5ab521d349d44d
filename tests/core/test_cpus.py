import os
from pathlib import Path

import pytest

from fairlead.core.cpus import fitting_threads, local_processes, usable_cores, usable_cpus

ALLOWED = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@pytest.mark.parametrize(
    ("quota", "expected"), [("100000 100000", 1), ("20000 100000", 1), ("max 100000", len(ALLOWED))]
)
def test_a_containers_quota_lowers_the_processors(tmp_path: Path, quota: str, expected: int):
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert usable_cpus(tmp_path) == expected
    assert usable_cores(tmp_path) <= expected


def test_siblings_are_one_core(tmp_path: Path):
    everyone = ",".join(map(str, ALLOWED))
    for cpu in ALLOWED:
        (tmp_path / f"cpu{cpu}/topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}/topology/thread_siblings_list").write_text(everyone + "\n")
    assert usable_cores(tmp_path / "none", tmp_path) == 1
    assert usable_cores(tmp_path / "none", tmp_path / "none") == len(ALLOWED)


def test_processes_share_the_cores():
    assert [fitting_threads(16, n) for n in (1, 2, 3, 16, 40)] == [16, 8, 5, 1, 1]


def test_processes_are_those_of_the_launcher(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert local_processes() == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert local_processes() == 4
