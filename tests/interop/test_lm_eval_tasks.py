"""Tasks of lm-evaluation-harness as gates, with the harness itself; `make test-interop`."""

import json
from pathlib import Path

import pytest

from fairlead.audits import Model, Subject
from fairlead.audits.lm_eval_task import LmEvalTask
from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.chat import Item
from fairlead.judges.local import LocalRespondent
from fairlead.models.policy import Policy
from fairlead.models.reference import sequence_logps
from small_world import tiny_policy

pytest.importorskip("lm_eval", reason="needs the extra `lm-eval` (make test-interop)")

QUESTIONS = [f"please give me {n} short words about rain" for n in range(12)]
CHOICES = ("yes", "no")


@pytest.fixture
def task(tmp_path: Path) -> str:
    items = [{"q": q, "c": [f" {c}" for c in CHOICES], "y": 0} for q in QUESTIONS]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    path = tmp_path / "toy.yaml"
    path.write_text(
        f"""
task: toy
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path}/items.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: "{{{{c}}}}"
doc_to_target: "{{{{y}}}}"
metric_list: [{{metric: acc}}]
"""
    )
    return str(path)


def model(policy: Policy) -> Model:
    return Model("tiny", LocalRespondent(policy, seed=Seed(0)), policy)


def right(policy: Policy, question: str) -> bool:
    """Whether the policy finds the first choice likelier, computed in our own way."""
    encode = policy.tokenizer
    context = tuple(encode(question)["input_ids"])
    whole = [tuple(encode(f"{question} {c}")["input_ids"]) for c in CHOICES]
    item = Item(context, tuple(ids[len(context) :] for ids in whole))
    first, second = sequence_logps(policy, [item], tokens=4096)[0]
    return first > second


def test_the_harness_scores_as_our_own_log_probabilities_do(task: str):
    ours, theirs = tiny_policy(seed=0).eval(), tiny_policy(seed=1).eval()
    subject = Subject(candidate=model(ours), baseline=model(theirs), seed=Seed(0))
    (gate,) = LmEvalTask(task=task).run(subject).gates
    wrong = [[not right(policy, q) for q in QUESTIONS] for policy in (ours, theirs)]
    assert gate.items == len(QUESTIONS)
    assert gate.candidate is not None
    assert gate.baseline is not None
    assert gate.candidate.value == pytest.approx(sum(wrong[0]) / 12)
    assert gate.baseline.value == pytest.approx(sum(wrong[1]) / 12)


def test_a_metric_that_the_task_lacks_is_named(task: str):
    policy = tiny_policy().eval()
    subject = Subject(candidate=model(policy), baseline=model(policy), seed=Seed(0))
    with pytest.raises(ConfigError, match="acc"):
        LmEvalTask(task=task, metric="f1").run(subject)
