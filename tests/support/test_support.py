"""Every method trains, with all weights and with adapters, in one process and in two.

What passes is written by `--support FILE`, and docs/support.md is made of it (`make support`).
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import INPUTS, kinds, run, stage, write_inputs

from fairlead.pipeline.methods import methods

HERE = Path(__file__).parent
WEIGHTS = ("full", "lora")
DEVICE = "gpu" if torch.cuda.is_available() else "cpu"

Record = Callable[[str, Any], None]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("support") / "run"
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def pair(run_dir: Path) -> dict[str, str]:
    """What two gloo processes made of every method, one after the other.

    Where they hang or die in a method, that one has failed and new ones go on with the others.
    """
    sys.path.insert(0, str(HERE.parent / "golden"))
    from pair import launch, said

    shared = run_dir.parent / "pair-run"
    (shared / "stages").mkdir(parents=True)
    for name in INPUTS:
        os.symlink(run_dir / "stages" / name, shared / "stages" / name)
    found: dict[str, str] = {}
    left = kinds()
    while left:
        outcomes, log = shared / f"{left[0]}.json", shared / f"{left[0]}.log"
        command = [sys.executable, str(HERE / "worker.py"), str(shared), str(outcomes), *left]
        codes = [process.wait() for process in launch(command, log)]
        found |= json.loads(outcomes.read_text()) if outcomes.exists() else {}
        if codes == [0, 0]:
            break
        done = [name.rsplit("-", 1)[0] for name in found]
        reached = max((left.index(kind) + 1 for kind in done if kind in left), default=0)
        stuck, left = left[reached], left[reached + 1 :]
        why = f"the processes ended with {codes}:\n{said(log, 0).read_text()[-3000:]}"
        found |= {f"{stuck}-{weights}": why for weights in WEIGHTS}
    return found


def offered(kind: str, weights: str) -> None:
    if stage(kind, lora=weights == "lora") is None:
        pytest.skip(f"{kind} trains no adapters")


def test_every_method_has_a_case():
    assert set(kinds()) == {method.kind for method in methods()}


def combinations() -> list[Any]:
    slow = {"full": (), "lora": (pytest.mark.slow,)}
    return [
        pytest.param(kind, weights, marks=slow[weights]) for kind in kinds() for weights in WEIGHTS
    ]


@pytest.mark.parametrize(("kind", "weights"), combinations())
def test_one_process(kind: str, weights: str, run_dir: Path, record_property: Record) -> None:
    offered(kind, weights)
    run(kind, run_dir, lora=weights == "lora")
    own = run_dir / "stages" / f"{kind}-{weights}"
    (model,) = own.glob("model") if (own / "model").exists() else [own]
    assert any(model.rglob("*.safetensors"))
    (log, *_) = sorted(own.rglob("metrics.jsonl"))
    losses = [json.loads(line)["loss/total"] for line in log.read_text().splitlines()]
    assert len(losses) == 2 and all(isinstance(loss, float) for loss in losses)
    record_property("support", [kind, weights, DEVICE, "one process"])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "weights"), combinations())
def test_two_processes(
    kind: str, weights: str, pair: dict[str, str], record_property: Record
) -> None:
    offered(kind, weights)
    assert pair[f"{kind}-{weights}"] == "passed", pair[f"{kind}-{weights}"]
    record_property("support", [kind, weights, DEVICE, "two processes"])
