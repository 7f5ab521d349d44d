"""A challenger, a solver and a frozen judge in the arithmetic world."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.data.chat import ChatFormat, encode
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import save_policy
from fairlead.models.policy import Policy
from fairlead.objectives.sft import SFT
from fairlead.pipeline.self_play_rewards import (
    ChallengerReward,
    Referee,
    SelfPlayRules,
    SolverReward,
)
from fairlead.pipeline.stage import Context
from fairlead.pipeline.stages.self_play import SelfPlayStage
from fairlead.pipeline.task_worlds import ArithmeticTasks, majority
from fairlead.records import Prompt
from fairlead.records.files import write_records
from fairlead.rewards.base import Reply
from fairlead.testbeds.arithmetic import ArithmeticWorld
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource
from small_world import metrics_of

WORLD = ArithmeticWorld()
TASKS = ArithmeticTasks((1,), ("compute",))
SAMPLING = Sampling(max_new_tokens=16)
RULES = SelfPlayRules(votes=4, tries=4, free_tokens=20, limit_tokens=40)


def learn(policy: Policy, n: int, folder: Path, *, epochs: int, doubts: float = 0.0) -> Policy:
    """Sums of one step, some of them with two answers, and what to say when asked for one."""
    shown = [
        *WORLD.demonstrations(
            n,
            Seed(0),
            levels=(1,),
            wordings=("compute",),
            mistakes=0.0,
            second_guesses=doubts,
        ),
        *TASKS.demonstrations(n // 2, Seed(1)),
    ]
    items, _ = encode(shown, ChatFormat(policy.tokenizer), max_length=64)
    config = TrainConfig(batch_size=16, epochs=epochs, learning_rate=3e-3)
    source = DatasetSource.of(items, sequence_batch, config, Seed(0))
    train(policy, SFT(), source, config, seed=Seed(0), run_dir=folder)
    return policy


def fresh() -> Policy:
    tokenizer = WORLD.tokenizer()
    return Policy(WORLD.fresh_model(tokenizer, Seed(0)), tokenizer, base="arithmetic")


@cache
def player() -> Policy:
    """Knows the forms, and sums now and then."""
    with TemporaryDirectory() as folder:
        return learn(fresh(), 480, Path(folder), epochs=2).eval()


def task_of(n: int) -> list[Prompt]:
    problems = WORLD.problems(n, Seed(3), levels=(1,), wordings=("compute",))
    return [problem.prompt for problem in problems]


def test_requests_are_no_questions_and_tasks_must_fit_them():
    (request,) = TASKS.requests(1, Seed(0))
    assert WORLD.split(request) is None
    shown = ArithmeticTasks((1, 2)).demonstrations(20, Seed(0))
    for one in shown:
        task = ArithmeticTasks((1, 2)).task(one.prompt, one.response)
        assert task is not None and task.first_user_turn == one.response
    two_steps = next(s for s in shown if s.prompt.first_user_turn == "What is 2?")
    assert TASKS.task(request, two_steps.response) is None
    assert TASKS.task(request, "no question") is None


def test_held_out_sums_are_no_tasks():
    (request,) = TASKS.requests(1, Seed(0))
    for problem in WORLD.problems(10, Seed(0), split="held_out", levels=(1,)):
        assert TASKS.task(request, problem.prompt.first_user_turn) is None


def test_answers_stand_in_the_last_line():
    task = Prompt.of("Compute 3 + 4.")
    assert TASKS.answer(task, "3 + 4 = 8\nanswer: 8") == "8"
    assert TASKS.answer(task, "answer: 8\n3 + 4 = 7") is None
    assert TASKS.answer(task, "8") is None
    assert TASKS.truth(task) == "7"


def test_judge_needs_coverage():
    asked = task_of(3)
    unread = majority(TASKS, fresh().eval(), asked, SAMPLING, votes=4, coverage=0.5, seed=Seed(0))
    assert unread == [None] * 3
    read = majority(TASKS, player(), asked, SAMPLING, votes=4, coverage=0.5, seed=Seed(0))
    assert all(answer is not None and answer.isdigit() for answer in read)


def reply(prompt: Prompt, text: str, tokens: int = 5) -> Reply:
    return Reply(prompt, (1,), (2,) * tokens, text)


def test_solver_is_paid_for_agreement_form_and_brevity():
    task = Prompt.of("Compute 3 + 4.")
    reward = SolverReward(TASKS, RULES, {task: "8"})
    scored = reward.score(
        [
            reply(task, "3 + 4 = 8\nanswer: 8"),
            reply(task, "3 + 4 = 7\nanswer: 7"),
            reply(task, "8"),
            reply(task, "3 + 4 = 8\nanswer: 8", tokens=30),
        ]
    )
    torch.testing.assert_close(scored.values, torch.tensor([1.5, 0.5, 0.0, 1.025]))


def test_challenger_is_paid_by_the_tent():
    referee = Referee(TASKS, player(), player(), SAMPLING, RULES, Seed(0))
    (request,) = TASKS.requests(1, Seed(0))
    questions = [task.first_user_turn for task in task_of(6)]
    scored = ChallengerReward(referee).score(
        [reply(request, text) for text in (*questions, "nonsense", "What is 2?")]
    )
    success = scored.parts["solver_success"]
    expected = 0.5 + 1 - (2 * success - 1).abs()
    torch.testing.assert_close(scored.values[:6], expected[:6])
    assert scored.values[6:].tolist() == [0.0, 0.0]
    assert scored.parts["gates_passed"].tolist() == [1.0] * 6 + [0.0] * 2


def stage(folder: Path, **changes: Any) -> tuple[SelfPlayStage, Context]:
    given = folder / "run/stages/given"
    given.mkdir(parents=True)
    problems = WORLD.problems(40, Seed(7), split="held_out", levels=(1,), wordings=("compute",))
    write_records(given / "test.jsonl", problems)
    rollouts = {"prompts": 4, "samples": 4, "iterations": 1, "sampling": SAMPLING.model_dump()}
    settings: dict[str, Any] = {
        "model": str(folder / "base"),
        "levels": (1,),
        "test": "@given/test.jsonl",
        "rounds": 2,
        "rules": RULES,
        "requests": 4,
        "tasks": 24,
        "band": (0.0, 1.0),
        "challenger": rollouts,
        "solver": rollouts,
        "train": TrainConfig(learning_rate=1e-4, schedule="constant"),
    }
    own = SelfPlayStage(name="own", **(settings | changes))
    return own, Context(folder / "run", folder / "run/stages/own", Seed(0), False)


def test_rounds_of_play_leave_models_tasks_and_numbers(tmp_path: Path):
    save_policy(player(), tmp_path / "base")
    own, context = stage(tmp_path)
    assert own.solver.credit.kind == "group" and own.solver.epochs == 1
    values = {e.name: e.value for e in own.run(context).estimates}
    for number in (1, 2):
        folder = context.folder / f"round-{number}"
        assert (folder / "model/model.safetensors").is_file()
        assert (folder / "challenger/model/model.safetensors").is_file()
        assert 0 < values[f"gates_passed/round-{number}"] <= 1
        assert 0 <= values[f"judge_agreement/round-{number}"] <= 1
    again = Context(context.run_dir, context.folder, context.seed, True)
    written = (context.folder / "round-2/model/model.safetensors").stat().st_mtime_ns
    assert {e.name: e.value for e in own.run(again).estimates} == values
    assert (context.folder / "round-2/model/model.safetensors").stat().st_mtime_ns == written


def test_tasks_that_teach_nothing_are_refused(tmp_path: Path):
    save_policy(fresh(), tmp_path / "base")
    own, context = stage(tmp_path, rounds=1)
    with pytest.raises(DataError, match="neither too easy nor too hard") as caught:
        own.run(context)
    assert "0 tasks" in str(caught.value)


@pytest.mark.slow
def test_solver_comes_to_agree_with_the_judge(tmp_path: Path):
    policy = learn(fresh(), 2000, tmp_path / "sft", epochs=3, doubts=0.5)
    save_policy(policy, tmp_path / "base")
    rollouts = {"prompts": 16, "samples": 8, "sampling": {"max_new_tokens": 24}}
    own, context = stage(
        tmp_path,
        rounds=1,
        requests=16,
        tasks=160,
        band=(0.1, 0.95),
        challenger=rollouts | {"iterations": 2},
        solver=rollouts | {"iterations": 20},
        rules=RULES.model_copy(update={"votes": 16}),
        train=TrainConfig(learning_rate=3e-4, schedule="constant"),
    )
    own.run(context)
    lines = metrics_of(context.folder / "round-1")
    first, last = lines[:3], lines[-3:]
    for name, gain in (("reward/accuracy", 0.25), ("reward/well_formed", 0.25)):
        before, after = (sum(line[name] for line in part) / 3 for part in (first, last))
        assert after > before + gain, name
