"""The benchmark for CUDA devices: our side of every work runs, if slowly, on a CPU too."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.gpu import MODELS, NEW_TOKENS, WORKS, fairlead_side, operations
from benchmarks.work import Size, make_model, make_pairs

XS = MODELS["XS"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / "XS"
    make_model(XS, folder)
    return folder


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_it_says_what_is_missing():
    command = [sys.executable, "-m", "benchmarks.gpu"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "needs a CUDA device" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("work", WORKS)
def test_our_side_runs(model: Path, work: str, dtype: str):
    found = fairlead_side(work, XS, dtype, model)
    assert found["seconds"] > 0
    pairs = make_pairs(XS)
    steps = XS.pairs / XS.batch
    if work == "sft":
        assert found["tokens"] == sum(len(p.prompt) + len(p.chosen) for p in pairs) / steps
    if work == "dpo":
        both = sum(2 * len(p.prompt) + len(p.chosen) + len(p.rejected) for p in pairs)
        assert found["tokens"] == both / steps
        assert found["losses"][0] == pytest.approx(0.6931, abs=1e-2)
    if work == "decode":
        assert 0 < found["tokens"] <= len(pairs) * NEW_TOKENS


def test_operations_of_a_hand_sized_model():
    size = Size(2, 1, 1, 3, 5, pairs=1, batch=1, prompts=1, grpo_steps=1)
    # Body: 4 * 4 + 3 * 6 + 4 + 2 = 40 weights; head 10; attention 1 layer * 2 wide * (9 + 16).
    assert operations(size, [3, 4], 5, trained=True) == 6 * (40 * 7 + 50 + 10 * 5)
    assert operations(size, [3, 4], 5, trained=False) == 2 * (40 * 7 + 50 + 10 * 5)
