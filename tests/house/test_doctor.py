import os
from importlib import metadata
from pathlib import Path

import pytest
import torch

from fairlead.cli import doctor as room
from fairlead.cli.doctor import Gpu, Warning, doctor, optional_packages, render


def test_diagnosis_agrees_with_the_machine():
    found = doctor()
    assert found.versions["torch"] == torch.__version__
    assert 1 <= found.cpus <= (os.cpu_count() or 1)
    assert found.threads == torch.get_num_threads()
    assert len(found.gpus) == torch.cuda.device_count()
    assert (
        0.5 < found.memory_gib <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    )


def test_container_limit_lowers_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(room, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1073741824\n")
    assert room.usable_memory() == 2**30


def test_no_container_limit_leaves_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(room, "_CGROUP", tmp_path)
    assert room.usable_memory() == whole
    (tmp_path / "memory.max").write_text("max\n")
    assert room.usable_memory() == whole


def test_optional_packages_are_those_of_the_extras():
    found = optional_packages()
    assert found["dev: pytest"] == metadata.version("pytest")
    assert len(found) == sum("extra ==" in r for r in metadata.requires("fairlead") or [])


def test_each_fault_has_a_remedy():
    old = Gpu(name="Old", memory_gib=8, bfloat16=False)
    found = room._warnings(cpus=2, threads=64, memory_gib=1.0, gpus=(old,), load=0.0)
    assert [(w.what, w.remedy) for w in found] == [
        ("torch computes with 64 threads on 2 cores", "set OMP_NUM_THREADS=2"),
        ("only 1.0 GiB of memory", "give the machine or container 4 GiB or more"),
        ("no bfloat16 on Old", "train in float32 there"),
    ]


def test_healthy_machine_has_no_warning():
    new = Gpu(name="New", memory_gib=80, bfloat16=True)
    assert room._warnings(cpus=8, threads=8, memory_gib=64.0, gpus=(new,), load=0.0) == []


@pytest.mark.parametrize(("load", "threads"), [(1.2, 1), (7.9, 1), (0.3, 2)])
def test_two_runs_at_once_are_warned_of_each_other(load: float, threads: int):
    found = room._warnings(cpus=2, threads=2, memory_gib=64.0, gpus=(), load=load)
    assert [w.remedy for w in found] == (
        [f"set OMP_NUM_THREADS={threads}, or wait for them"] if load >= 0.5 else []
    )


def test_allocator_hint_goes_once_it_is_followed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    assert room._allocator_hints(True) == ["PYTORCH_ALLOC_CONF=expandable_segments:True"]
    monkeypatch.delenv("PYTORCH_ALLOC_CONF")
    (hint,) = room._allocator_hints(True)
    assert hint.startswith("set PYTORCH_ALLOC_CONF=expandable_segments:True")


def test_text_shows_warnings_with_remedies():
    fault = Warning(what="a fault", remedy="the cure")
    text = render(doctor().model_copy(update={"warnings": (fault,), "gpus": ()}))
    assert "To repair\n  a fault\n    the cure" in text
    assert "no CUDA device" in text
    assert f"torch {torch.__version__}" in text
