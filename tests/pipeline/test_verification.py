"""Verifiers: how they are asked and understood, what they learn from, and what they are for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fairlead.core.errors import DataError
from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.data.chat import ChatFormat
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import save_policy
from fairlead.models.policy import Policy
from fairlead.objectives.sft import SFT
from fairlead.pipeline.facts import ON_FACTS, answers_to, facts, verdicts_on
from fairlead.pipeline.rewards import GoldReward
from fairlead.pipeline.stage import Context
from fairlead.pipeline.stages.verification import VerificationStage
from fairlead.pipeline.verdicts import Generator, Judge, VerdictFormat, verify_and_revise
from fairlead.records import Demonstration, Problem, Prompt
from fairlead.records.files import write_records
from fairlead.rewards.base import FunctionReward
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource, Ranks
from fairlead.training.verdicts import VerdictContext, VerdictSource
from small_world import items_of, prompts, tiny_policy, world

PROBLEM = Problem(prompt=Prompt.of("What is 17 + 25?"), answer="42", solution="17 + 25 = 42")


def test_only_the_teacher_sees_the_solution():
    wording = VerdictFormat()
    student = wording.student_prompt(PROBLEM, "17 + 25 = 41").first_user_turn
    teacher = wording.teacher_prompt(PROBLEM, "17 + 25 = 41").first_user_turn
    assert "17 + 25 = 42" in teacher and "17 + 25 = 42" not in student
    assert "17 + 25 = 41" in student and student.startswith("What is 17 + 25?")
    with pytest.raises(ValidationError, match="must not see"):
        VerdictFormat(student="{solution}")


def test_slots_within_an_attempt_are_not_filled():
    prompt = ON_FACTS.student_prompt(PROBLEM, "{solution} {question}")
    assert prompt.first_user_turn == "What is 17 + 25? {solution} {question}"


@pytest.mark.parametrize(
    ("verdict", "accepts"),
    [
        ("All right.", True),
        ("The sum is wrong", False),
        ("At first it looks right, but it is WRONG.", False),
        ("It is bright and wrongly put", None),
        ("", None),
    ],
)
def test_the_last_word_counts(verdict: str, accepts: bool | None):
    assert VerdictFormat().accepts(verdict) is accepts


def test_verdicts_that_give_the_answer_away_earn_nothing():
    wording, attempt = VerdictFormat(), "17 + 25 = 41"
    assert wording.reward(PROBLEM, attempt, False, "wrong") == 1.0
    assert wording.reward(PROBLEM, attempt, False, "it is 42, wrong") == 0.0
    assert wording.reward(PROBLEM, attempt, False, "right") == 0.0
    assert wording.reward(PROBLEM, attempt, False, "no idea") == 0.0
    assert wording.reward(PROBLEM, "it is 42", True, "42 is right") == 1.0
    assert wording.gives_away(PROBLEM, attempt, "not 142 but 421") is False


def contexts(n: int) -> list[VerdictContext]:
    chat = ChatFormat(tiny_policy().tokenizer)
    ids = [chat.prompt_ids(prompt) for prompt in prompts(n)]
    return [VerdictContext(own, own, i % 4 == 0) for i, own in enumerate(ids)]


def verdict_source(policy: Policy, given: list[VerdictContext], **changes: Any) -> VerdictSource:
    settings: dict[str, Any] = {
        "engine": LocalEngine(policy),
        "reward": lambda index, text: float(given[index].right),
        "samples": 3,
        "sampling": Sampling(max_new_tokens=4),
        "config": TrainConfig(batch_size=6, microbatch_tokens=64),
        "seed": Seed(0),
    }
    return VerdictSource(policy, contexts=given, **(settings | changes))


def test_half_of_every_step_is_right_attempts():
    step = verdict_source(tiny_policy(), contexts(16)).step(0, Ranks())
    assert step.metrics["reward/score"].value == 0.5
    assert step.totals().sequences == 18


def test_teacher_with_the_same_prompt_says_what_the_student_says():
    policy = tiny_policy()
    source = verdict_source(policy, contexts(12))
    needs = frozenset({"distribution", "logps"})
    for batch in source.step(3, Ranks()).microbatches:
        with torch.no_grad():
            scores = policy(batch.packed, needs)  # pyright: ignore
        torch.testing.assert_close(scores.distribution, batch.teacher)  # pyright: ignore


def test_credit_is_centred_on_each_attempt():
    given = contexts(8)
    rewards = iter(range(1000))
    source = verdict_source(
        tiny_policy(), given, samples=2, reward=lambda index, text: float(next(rewards) % 2)
    )
    step = source.step(0, Ranks())
    found = torch.cat([batch.advantages for batch in step.microbatches])  # pyright: ignore
    assert set(found.tolist()) == {-0.5, 0.5}


def test_equal_calls_give_equal_steps():
    policy, given = tiny_policy(), contexts(12)
    steps = [verdict_source(policy, given).step(2, Ranks()) for _ in range(2)]
    for one, other in zip(steps[0].microbatches, steps[1].microbatches, strict=True):
        assert torch.equal(one.packed.input_ids, other.packed.input_ids)
        assert torch.equal(one.teacher, other.teacher)  # pyright: ignore


def test_attempts_of_one_sort_are_refused():
    given = [c for c in contexts(8) if c.right]
    with pytest.raises(DataError, match="all right or all wrong"):
        verdict_source(tiny_policy(), given)


def learn(records: list[Demonstration], folder: Path, *, epochs: int) -> Policy:
    policy = tiny_policy()
    source = DatasetSource(items_of(records), sequence_batch, 16, epochs, 2048, Seed(0))
    train(policy, SFT(), source, TrainConfig(learning_rate=1e-2), seed=Seed(0), run_dir=folder)
    return policy


def stage(
    folder: Path, *, n: int, epochs: int, **changes: Any
) -> tuple[VerificationStage, Context]:
    known = facts(world(), n, "train")
    solved = answers_to(world(), known, 4, Seed(0))
    shown = verdicts_on(world(), solved, known, Seed(1))
    save_policy(learn(shown, folder / "verifier-sft", epochs=epochs), folder / "verifier")
    save_policy(
        learn(solved, folder / "generator-sft", epochs=max(epochs, 12)), folder / "generator"
    )
    given = folder / "run/stages/given"
    given.mkdir(parents=True)
    write_records(given / "train.jsonl", known)
    write_records(given / "test.jsonl", facts(world(), n, "held_out"))
    settings: dict[str, Any] = {
        "model": str(folder / "verifier"),
        "generator": str(folder / "generator"),
        "data": "@given/train.jsonl",
        "test": "@given/test.jsonl",
        "truth": GoldReward(world="assistant"),
        "format": ON_FACTS,
        "sampling": Sampling(max_new_tokens=16),
        "verdicts": Sampling(max_new_tokens=3),
        "train": TrainConfig(batch_size=16, max_steps=2, learning_rate=1e-3),
    }
    own = VerificationStage(name="own", **(settings | changes))
    return own, Context(folder / "run", folder / "run/stages/own", Seed(0), False)


def found(result: StageResult) -> dict[str, Any]:
    return {e.name: e for e in result.estimates}


def test_loop_accepts_tries_again_and_counts(tmp_path: Path):
    own, context = stage(tmp_path, n=4, epochs=2)
    result = found(own.run(context))
    for label in ("start", "trained"):
        values = {n.partition("/")[0]: e.value for n, e in result.items() if n.endswith(label)}
        assert values["score_inflation"] == pytest.approx(
            values["acceptance_rate"]
            - sum(a.right for a in attempts(context)) / len(attempts(context))
        )
        gain = values["accuracy_after_2_verdicts"] - values["accuracy_after_0_verdicts"]
        assert values["loop_gain"] == pytest.approx(gain)
        assert values["accepted_by_verdict_1"] <= values["accepted_by_verdict_2"]
    assert result["accuracy_after_0_verdicts/start"] == result[
        "accuracy_after_0_verdicts/trained"
    ].model_copy(update={"name": "accuracy_after_0_verdicts/start"})


def attempts(context: Context) -> Any:
    from fairlead.core.files import read_json
    from fairlead.pipeline.verdicts import Attempts

    return Attempts.model_validate(read_json(context.folder / "attempts-test.json")).made


def test_a_judge_that_accepts_nothing_has_every_problem_tried_again():
    policy = tiny_policy()
    problems = [Problem(prompt=p, answer="x") for p in prompts(4)]
    reward = FunctionReward(lambda prompt, text: 1.0)
    generator = Generator(policy, Sampling(max_new_tokens=4), reward, 0.5)
    judge = Judge(policy, ON_FACTS, Sampling(max_new_tokens=2), Seed(0))
    loop = verify_and_revise(generator, judge, problems, rounds=3, seed=Seed(0))
    assert len(loop.right) == 4 and len(loop.accepted) == 3
    assert all(all(row) for row in loop.right)
    for earlier, later in zip(loop.accepted, loop.accepted[1:], strict=False):
        assert all(b or not a for a, b in zip(earlier, later, strict=True))  # accepted for good


@pytest.mark.slow
def test_the_student_learns_what_the_teacher_sees(tmp_path: Path):
    config = TrainConfig(batch_size=32, max_steps=100, learning_rate=3e-3)
    own, context = stage(tmp_path, n=8, epochs=40, attempts=8, retries=3, train=config)
    result = found(own.run(context))
    change = result["verdict_accuracy_change/own"]
    assert change.low > 0, result
    assert result["loop_gain/trained"].value > 0, result
