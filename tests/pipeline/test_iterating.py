"""Rounds with simulated annotators, far too small to learn anything."""

from pathlib import Path

import pytest

from fairlead.core.errors import ConfigError
from fairlead.lineage import verify
from fairlead.lineage.manifest import sha256_path
from fairlead.pipeline.iterating import iterate, load_rounds
from fairlead.pipeline.recipe import Recipe
from fairlead.records import Comparison
from fairlead.records.files import read_records
from fairlead.report import report_json

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "iterate.yaml"
PROMPTS = 6
SMALL = (
    "world.corpus=200",
    "world.demonstrations=100",
    "world.train_prompts=24",
    "world.test_prompts=8",
    "pretrain.train.max_steps=2",
    "sft.train.max_steps=2",
    f"prompts={PROMPTS}",
    "short.max_new_tokens=8",
    "iterations=1",
    "reward.train.max_steps=2",
    "policy.rollouts.prompts=4",
    "policy.require_eos=false",
    "evaluate.samples=2",
)


def small(rounds: int) -> Recipe:
    return load_rounds(RECIPE, SMALL, rounds)


def labels(run: Path, number: int) -> list[Comparison]:
    found = read_records(run / "stages" / f"round-{number}-label" / "train.jsonl")
    return [one for one in found if isinstance(one, Comparison)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rounds")
    iterate(small(2), folder)
    return folder


def test_labels_of_a_round_are_those_so_far_and_new_ones(run: Path):
    first, second = labels(run, 1), labels(run, 2)
    assert second[: len(first)] == first
    new = second[len(first) :]
    assert 0 < len(new) <= 2 * PROMPTS
    assert len({one.prompt.messages for one in new}) <= PROMPTS
    assert {one.prompt.messages for one in new} != {one.prompt.messages for one in first}


def test_every_round_is_measured_and_every_file_has_its_lineage(run: Path):
    names = [estimate["name"] for estimate in report_json(run)["estimates"]]
    assert {"gold_gain/round-1", "gold_gain/round-2"} <= set(names)
    assert verify(run).ok


def test_a_crash_in_a_round_changes_nothing_in_the_end(run: Path, tmp_path: Path):
    class PowerCut(Exception):
        pass

    def fail_in_the_second_round(line: str) -> None:
        if line.startswith("round-2-reward"):
            raise PowerCut

    with pytest.raises(PowerCut):
        iterate(small(2), tmp_path, say=fail_in_the_second_round)
    with pytest.raises(ConfigError, match="stopped before its end"):
        iterate(small(2), tmp_path)
    lines: list[str] = []
    iterate(small(2), tmp_path, resume=True, say=lines.append)
    assert "round-2-label: unchanged, not run again" in lines
    last = Path("stages") / "round-2-policy" / "model" / "model.safetensors"
    assert sha256_path(tmp_path / last) == sha256_path(run / last)


def test_another_round_keeps_the_earlier_ones(run: Path):
    lines: list[str] = []
    iterate(small(3), run, say=lines.append)
    kept = {line.partition(":")[0] for line in lines if line.endswith("unchanged, not run again")}
    assert {"sft", "round-1-policy", "round-2-policy", "round-2-evaluate"} <= kept
    assert not any(name.startswith("round-3") for name in kept)
    assert labels(run, 3)[: len(labels(run, 2))] == labels(run, 2)
