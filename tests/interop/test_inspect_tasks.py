"""Inspect's tasks and logs as gates, with Inspect itself; `make test-interop` installs it."""

from pathlib import Path

import pytest

from fairlead.audits import Model, Subject
from fairlead.audits.inspect_logs import InspectLogs
from fairlead.audits.inspect_task import InspectTask
from fairlead.audits.planted.scripted import Scripted
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question

pytest.importorskip("inspect_ai", reason="needs the extra `inspect` (make test-interop)")

from fairlead.audits.harnesses.inspect import read_log, run_task, write_log

TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match
from inspect_ai.solver import generate

@task
def sums(first=1):
    samples = [Sample(id=i, input=f"{i} + {i} =", target=str(2 * i)) for i in range(first, 21)]
    return Task(dataset=samples, solver=generate(), scorer=match())
"""


@pytest.fixture
def task(tmp_path: Path) -> str:
    path = tmp_path / "sums.py"
    path.write_text(TASK)
    return str(path)


def adding(wrong_at_odd: bool, silent: int = 0) -> Model:
    def behave(question: Question, draws: object) -> Answer:
        number = int(question.prompt.messages[-1].content.split()[0])
        if number == silent:
            return Answer(state="error", detail="no room")
        return Answer(text=str(2 * number + (number % 2 if wrong_at_odd else 0)))

    return Model("adder", Scripted(behave, seed=Seed(0)))


def test_a_task_that_the_candidate_half_forgot_fails(task: str):
    subject = Subject(candidate=adding(True), baseline=adding(False), seed=Seed(1))
    finding = InspectTask(task=task).run(subject)
    (gate,) = finding.gates
    assert (gate.change.value, gate.verdict) == (0.5, "fail")
    assert gate.flips is not None
    assert (gate.flips.worse, gate.flips.better) == (10, 0)
    assert finding.passages[0].prompt == "1 + 1 ="
    assert (finding.passages[0].baseline, finding.passages[0].candidate) == ("2", "3")


def test_an_item_without_an_answer_counts_against_the_candidate(task: str):
    subject = Subject(candidate=adding(False, silent=4), baseline=adding(False), seed=Seed(1))
    (gate,) = InspectTask(task=task, arguments={"first": 1}).run(subject).gates
    assert gate.unscored == {"error": 1}
    assert gate.change.value == pytest.approx(1 / 20)


def test_logs_are_compared_by_item(task: str, tmp_path: Path):
    paths = {
        name: run_task(
            task, model, limit=None, max_tokens=8, arguments={}, seed=1, folder=tmp_path / name
        )
        for name, model in {"ours": adding(True), "theirs": adding(False)}.items()
    }
    scores = read_log(paths["ours"])
    assert sum(item.value for item in scores.values()) == 10
    audit = InspectLogs(candidate_log=str(paths["ours"]), baseline_log=str(paths["theirs"]))
    nobody = Subject(candidate=adding(True), baseline=adding(True), seed=Seed(0))
    (gate,) = audit.run(nobody).gates
    assert gate.change.value == 0.5
    short = run_task(
        task,
        adding(False),
        limit=3,
        max_tokens=8,
        arguments={},
        seed=1,
        folder=tmp_path / "short",
    )
    with pytest.raises(DataError, match="same items"):
        audit.model_copy(update={"baseline_log": str(short)}).run(nobody)
    with pytest.raises(DataError, match="not an Inspect log"):
        read_log(task)
    with pytest.raises(ConfigError, match="one score"):
        read_log(write_several(tmp_path))


def write_several(folder: Path) -> Path:
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalSample,
        EvalSpec,
        write_eval_log,
    )
    from inspect_ai.scorer import Score

    scores = {"a": Score(value="C"), "b": Score(value="I")}
    sample = EvalSample(id=1, epoch=1, input="x", target="y", scores=scores)
    spec = EvalSpec(
        created="2026-01-01T00:00:00+00:00",
        task="t",
        dataset=EvalDataset(name="t"),
        model="m",
        config=EvalConfig(),
    )
    path = folder / "several.json"
    write_eval_log(EvalLog(eval=spec, samples=[sample]), str(path), format="json")
    return path


def test_a_finding_is_written_as_a_log(task: str, tmp_path: Path):
    from inspect_ai.log import read_eval_log

    subject = Subject(candidate=adding(True), baseline=adding(False), seed=Seed(1))
    finding = InspectTask(task=task).run(subject)
    write_log(finding, "adder", tmp_path / "finding.json")
    log = read_eval_log(str(tmp_path / "finding.json"))
    assert log.results is not None
    (score,) = log.results.scores
    assert score.metrics["change"].value == 0.5
    assert score.metadata == {"verdict": "fail", "harm": "loss of mean score", "hard": True}
    assert log.samples is not None
    assert len(log.samples) == 10
