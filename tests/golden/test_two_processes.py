"""Two processes compute what one does; when one dies, the other says so."""

import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from chain import checkpoints, command, lines_in, watch, weights
from pair import launch, run_both, said, write_pair_recipe
from safetensors.torch import load_file

from fairlead.lineage import read_run, verify
from fairlead.pipeline.recipe import load_recipe
from fairlead.pipeline.runner import run_recipe
from small_world import metrics_of

STAGES = ("sft", "label", "reward", "dpo", "ppo", "evaluate")
ODD = 77
"""Examples: nine batches of 8 and one of 5, three for one process and two for the other."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def recipe(folder: Path) -> Path:
    return write_pair_recipe(folder, examples=ODD, stages=STAGES)


@pytest.fixture(scope="module")
def alone(recipe: Path) -> Path:
    out = recipe.parent / "alone"
    run_recipe(load_recipe(recipe), out)
    return out / "stages"


@pytest.fixture(scope="module")
def together(recipe: Path) -> Path:
    out = recipe.parent / "together"
    codes = run_both(recipe, out)
    assert codes == [0, 0], "\n".join(said(out, rank).read_text()[-3000:] for rank in range(2))
    return out / "stages"


@pytest.mark.parametrize("stage", ["sft", "reward", "dpo"])
def test_weights_equal_those_of_one_process(alone: Path, together: Path, stage: str) -> None:
    for file in sorted((alone / stage / "model").glob("*.safetensors")):
        one, two = load_file(file), load_file(together / stage / "model" / file.name)
        assert one.keys() == two.keys()
        for name in one:
            torch.testing.assert_close(two[name], one[name], rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("stage", ["sft", "reward", "dpo"])
def test_metrics_equal_those_of_one_process(alone: Path, together: Path, stage: str) -> None:
    one, two = metrics_of(alone / stage), metrics_of(together / stage)
    assert [line["step"] for line in two] == list(range(1, 21))
    for mine, other in zip(one, two, strict=True):
        assert other == pytest.approx(mine, rel=1e-3, abs=1e-5)


def test_only_the_first_process_works_where_nothing_is_trained(together: Path) -> None:
    run = read_run(together.parent)
    assert [(s.name, s.status) for s in run.stages] == [(name, "complete") for name in STAGES]
    assert verify(together.parent).ok
    first, second = (said(together.parent, rank).read_text() for rank in range(2))
    assert first.count("label: done") == 1 and "label: done" not in second
    assert len(list((together.parent).glob("stages/*/result.json"))) == len(STAGES)


@pytest.mark.slow
def test_a_process_without_an_example_is_refused_before_the_first_step(folder: Path) -> None:
    recipe = write_pair_recipe(folder, examples=73, stages=STAGES[:1])
    out = folder / "uneven"
    assert run_both(recipe, out) == [1, 1]
    for rank in range(2):
        text = said(out, rank).read_text()
        assert "a process has no example in a step" in text
        assert "got: 1 (73 examples in batches of 8)" in text and "remedy: choose" in text
    assert lines_in(out / "stages" / "sft" / "metrics.jsonl") == 0


def test_death_of_a_process_is_named_and_the_run_resumes(folder: Path, together: Path) -> None:
    recipe = write_pair_recipe(folder, examples=ODD, stages=STAGES[:1])
    out = folder / "dead"
    stage = out / "stages" / "sft"
    first, second = launch(command(recipe, out), out)
    watch(first, lambda: lines_in(stage / "metrics.jsonl") >= 13)
    second.send_signal(signal.SIGKILL)
    began = time.monotonic()
    assert first.wait(timeout=120) == 1 and second.wait() == -signal.SIGKILL
    assert time.monotonic() - began < 60
    text = said(out, 0).read_text()
    assert "error: another worker process died or hangs" in text
    assert "where: process 0 of 2" in text and "again with --resume" in text.replace("\n", " ")
    assert checkpoints(stage) == [10]
    assert run_both(recipe, out, "--resume") == [0, 0]
    assert weights(stage) == weights(together / "sft")
    assert metrics_of(stage) == metrics_of(together / "sft")


def test_processes_with_different_weights_are_refused(folder: Path) -> None:
    worker = Path(__file__).with_name("differing_weights.py")
    log = folder / "differing"
    started = launch([sys.executable, str(worker), str(folder / "differing")], log)
    assert [p.wait(timeout=120) for p in started] == [3, 3]
    for rank in range(2):
        assert "the processes hold different weights" in said(log, rank).read_text()
