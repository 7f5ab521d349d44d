"""Judged samples and the choice among them, with a policy that has heard a few sums half wrong."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fairlead.core.errors import DataError
from fairlead.core.files import read_json
from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.data.chat import ChatFormat, encode
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import save_policy
from fairlead.models.policy import Policy
from fairlead.objectives.sft import SFT
from fairlead.pipeline.rewards import GoldReward
from fairlead.pipeline.stage import Context
from fairlead.pipeline.stages.best_of import BestOfStage
from fairlead.pipeline.stages.judge_steps import JudgeStepsStage, RolloutJudge, WorldJudge
from fairlead.records import Demonstration, Problem, Rating, StepLabels
from fairlead.records.files import read_records, write_records
from fairlead.rewards.verifiers.number import NumberChecker
from fairlead.testbeds.arithmetic import ArithmeticWorld
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource

WORLD = ArithmeticWorld()
CHECKER = NumberChecker(marker="answer:", need_marker=True)
SAMPLING = Sampling(max_new_tokens=24)


@cache
def problems() -> list[Problem]:
    drawn = WORLD.problems(12, Seed(1), levels=[1], wordings=["what"])
    return list({p.prompt.messages: p for p in drawn}.values())[:6]


def _mistaken(problem: Problem, seed: Seed) -> str:
    return "\n".join(WORLD.corrupted(problem.prompt, seed, faults=["wrong result"]).steps)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A run folder with the policy and its problems."""
    folder = tmp_path_factory.mktemp("run")
    seed, tokenizer = Seed(0), WORLD.tokenizer()
    policy = Policy(WORLD.fresh_model(tokenizer, seed), tokenizer, base="arithmetic")
    shown = [
        Demonstration(prompt=p.prompt, response=text)
        for i, p in enumerate(problems())
        for text in (p.solution, _mistaken(p, seed.child(i)))
    ]
    items, _ = encode(shown, ChatFormat(tokenizer), max_length=64)
    source = DatasetSource(items, sequence_batch, 12, 60, 2048, seed)
    train(policy, SFT(), source, TrainConfig(learning_rate=1e-2), seed=seed, run_dir=folder / "x")
    save_policy(policy, folder / "stages" / "sft" / "model")
    (folder / "stages" / "world").mkdir()
    write_records(folder / "stages" / "world" / "test.jsonl", problems())
    write_records(folder / "stages" / "world" / "shown.jsonl", shown)
    return folder


def in_stage(made: Path, name: str) -> Context:
    folder = made / "stages" / name
    folder.mkdir(exist_ok=True)
    return Context(made, folder, Seed(0).child(name), False)


def best_of(**settings: Any) -> BestOfStage:
    given: dict[str, Any] = {
        "name": "choice",
        "policy": "@sft",
        "data": "@world/test.jsonl",
        "checker": CHECKER,
        "rewards": {"gold": GoldReward(world="arithmetic")},
        "samples": 8,
        "sizes": (1, 2, 8),
        "sampling": SAMPLING,
    }
    return BestOfStage(**(given | settings))


@pytest.fixture(scope="module")
def chosen(made) -> tuple[StageResult, dict[str, np.ndarray]]:
    """What the stage found, and each chooser's shares [problem, size]."""
    context = in_stage(made, "choice")
    result = best_of(weigh=("gold",)).run(context)
    shares = read_json(context.folder / "chosen.json")["shares"]
    return result, {name: np.array(own) for name, own in shares.items()}


def test_the_policy_is_right_and_wrong(chosen):
    right = chosen[1]["any right"][:, 0].mean()
    assert 0.2 < right < 0.8


def test_one_sample_leaves_no_choice(chosen):
    shares = chosen[1]
    assert shares["gold"][:, 0] == pytest.approx(shares["any right"][:, 0])
    # A vote of one is drawn at random: 200 orders.
    assert shares["majority"][:, 0] == pytest.approx(shares["any right"][:, 0], abs=0.12)


def test_the_truth_chooses_as_well_as_can_be(chosen):
    shares = chosen[1]
    assert shares["gold"] == pytest.approx(shares["any right"])
    assert shares["gold, votes"][:, 1:] == pytest.approx(shares["any right"][:, 1:], abs=0.12)
    assert (shares["majority"][:, -1] <= shares["any right"][:, -1]).all()


def test_estimates_are_means_and_paired_gains(chosen):
    result, shares = chosen
    found = {e.name: e for e in result.estimates}
    assert found["right/gold/8"].value == pytest.approx(shares["gold"][:, 2].mean())
    gain = found["gain_over_majority/gold/8"]
    assert gain.value == pytest.approx((shares["gold"] - shares["majority"])[:, 2].mean())
    assert gain.n == len(problems())
    assert "gain_over_majority/gold/1" not in found
    assert [s.label for s in result.figures[0].series] == list(shares)
    assert result.figures[0].series[0].x == (0.0, 1.0, 3.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"sizes": (16,)},
        {"baseline": "nobody"},
        {"weigh": ("nobody",)},
        {"rewards": {"majority": GoldReward(world="arithmetic")}},
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings):
    with pytest.raises(ValidationError):
        best_of(**settings)


def test_data_without_answers_are_refused(made):
    with pytest.raises(DataError, match="which answer is right"):
        best_of(data="@world/shown.jsonl").run(in_stage(made, "choice-refused"))


def judged(made: Path, judge: WorldJudge | RolloutJudge, name: str) -> tuple[list[Any], list[Any]]:
    context = in_stage(made, name)
    stage = JudgeStepsStage(
        name=name,
        policy="@sft",
        train="@world/test.jsonl",
        checker=CHECKER,
        judge=judge,
        samples=8,
        sampling=SAMPLING,
    )
    notes = stage.run(context).notes
    assert len(notes) == 1 and "6 problems" in notes[0]
    files = ("train-steps", "train-outcomes")
    steps, outcomes = (list(read_records(context.folder / f"{f}.jsonl")) for f in files)
    assert f"{len(outcomes)} solutions" in notes[0]
    assert f"{48 - len(outcomes)} were equal to another" in notes[0]
    return steps, outcomes


def test_the_world_judges_every_line_up_to_the_first_error(made):
    steps, outcomes = judged(made, WorldJudge(), "by-world")
    assert len(steps) == len(outcomes) > 8
    for labels, outcome in zip(steps, outcomes, strict=True):
        assert isinstance(labels, StepLabels) and isinstance(outcome, Rating)
        assert "\n".join(labels.steps) == outcome.response.strip()
        assert outcome.value == WORLD.gold(outcome.prompt, outcome.response)
        assert labels == WORLD.label_steps(labels.prompt, outcome.response)
    values = {outcome.value for outcome in outcomes}
    assert values == {0.0, 1.0}


def test_rollouts_judge_by_where_they_end(made):
    steps, outcomes = judged(made, RolloutJudge(count=2, estimate="soft"), "by-rollouts")
    ends = {(o.prompt, o.response.strip()): o.value for o in outcomes}
    for labels in steps:
        assert labels.probabilities[-1] == ends[labels.prompt, "\n".join(labels.steps)]
        assert {2 * p for p in labels.probabilities} <= {0.0, 1.0, 2.0}
