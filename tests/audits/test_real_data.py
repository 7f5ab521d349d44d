"""Audits of behaviour on real public items, asked of a real if tiny model, and published labels."""

import dataclasses
import gzip
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from fairlead.audits import Model, Subject
from fairlead.audits.behaviours import Behaviours
from fairlead.audits.honesty import Honesty, multiple_choice
from fairlead.audits.items.bias import read_bias
from fairlead.audits.items.opinions import read_opinions
from fairlead.audits.items.requests import read_labelled, read_requests
from fairlead.audits.items.truths import read_truths
from fairlead.audits.labelled import agreement, judge_against_people, label_by, label_rates
from fairlead.audits.refusals import Refusals
from fairlead.audits.reward_accuracy import RewardAccuracy
from fairlead.audits.social_bias import SocialBias
from fairlead.audits.sycophancy import Sycophancy
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, Item
from fairlead.data.readers import read
from fairlead.judges.asking import Question
from fairlead.judges.compliance import SignsOfRefusal
from fairlead.judges.local import LocalRespondent
from fairlead.models.loading import load_policy
from fairlead.models.policy import Policy
from fairlead.models.reference import sequence_logps
from fairlead.records import Comparison, Message, Prompt
from fairlead.rewards.base import Reply, Scored

SHARED = Path(__file__).parents[2] / "../shared"
DATA, STORIES = SHARED / "data", SHARED / "models/stories260K"
XSTEST = DATA / "xstest/xstest_prompts.part-A.jsonl.gz"
LABELS = DATA / "xstest/completion_labels.part-A.jsonl.gz"
TRUTHS = DATA / "truthfulqa/questions.part-A.jsonl.gz"
BBQ = DATA / "bbq/bbq_six_categories.jsonl.gz"
EVALS = DATA / "anthropic-model-written-evals"
RISKS = EVALS / "advanced-ai-risk.human_generated_evals.jsonl.gz"
HH = DATA / "hh-rlhf/harmless-base.official-test.part-A.jsonl.gz"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the folder of real data is not here")


def rows(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def policy() -> Policy:
    if not STORIES.is_dir():
        pytest.skip("../shared/models/stories260K is not beside this checkout")
    return load_policy(STORIES)


@pytest.fixture(scope="module")
def subject(policy: Policy) -> Subject:
    one, other = (
        Model(name, LocalRespondent(policy, seed=Seed(0).child(name), name=name), policy)
        for name in ("candidate", "baseline")
    )
    return Subject(candidate=one, baseline=other, seed=Seed(0))


# Labels by people


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("final", "final_label"),
        ("person 1", "annotation_1"),
        ("person 2", "annotation_2"),
        ("gpt4", "gpt4_label"),
        ("strmatch", "strmatch_label"),
    ],
)
def test_rates_are_those_of_the_published_labels(source, column):
    safe = {row["id"]: row["label"] == "safe" for row in rows(XSTEST)}
    known = ("1_full_compliance", "2_full_refusal", "3_partial_refusal")
    counts = Counter(
        (row["model"], safe[row["id"]], row[column]) for row in rows(LABELS) if row[column] in known
    )
    found = label_rates(
        read_labelled(str(LABELS)).items, read_requests(str(XSTEST)).items, source=source
    )
    assert len(found) == 5
    for rates in found:
        of = {label: counts[rates.model, True, label] for label in known}
        harmful = {label: counts[rates.model, False, label] for label in known}
        refused = of["2_full_refusal"] + of["3_partial_refusal"]
        assert rates.refused.value == refused / sum(of.values())
        assert rates.complied.value == harmful["1_full_compliance"] / sum(harmful.values())
        assert sum(of.values()) + sum(harmful.values()) + rates.unlabelled == 306


def test_final_rates_of_refusal():
    """The five models' rates, as counted in the published file."""
    found = label_rates(read_labelled(str(LABELS)).items, read_requests(str(XSTEST)).items)
    shown = {r.model: (round(r.refused.value, 3), round(r.complied.value, 3)) for r in found}
    assert shown == {
        "gpt4": (0.088, 0.0),
        "llama2new": (0.312, 0.0),
        "llama2orig": (0.571, 0.0),
        "mistralguard": (0.188, 0.037),
        "mistralinstruct": (0.024, 0.64),
    }


def test_agreement_of_people_and_judges():
    replies = read_labelled(str(LABELS)).items
    by = {
        source: [label_by(reply, source) for reply in replies]
        for source in ("person 1", "person 2", "final", "gpt4", "strmatch")
    }
    people = agreement(by["person 1"], by["person 2"], seed=Seed(0))
    assert (people.same.n, people.missing) == (1530, 0)
    assert people.same.value == pytest.approx(0.967, abs=5e-4)
    assert people.kappa.value == pytest.approx(0.941, abs=5e-4)
    judge = agreement(by["gpt4"], by["final"], seed=Seed(0))
    assert judge.missing == 4
    same = sum(row["gpt4_label"] == row["final_label"] for row in rows(LABELS))
    assert judge.same.value == same / 1526


def test_phrases_of_refusal_against_people():
    """The smoke test is one: it misses partial refusals, as the published string match does."""
    replies = read_labelled(str(LABELS)).items
    there = [reply for reply in replies if reply.reply]
    ours = judge_against_people(SignsOfRefusal(), there, seed=Seed(0))
    published = agreement(
        [label_by(reply, "strmatch") for reply in there],
        [reply.final for reply in there],
        seed=Seed(0),
    )
    assert ours.same.n == published.same.n == 612
    assert 0.6 < ours.same.value < 1


# Items


def test_every_item_is_read():
    requests = read_requests(str(XSTEST)).items
    assert Counter(item.safe for item in requests) == {True: 170, False: 136}
    bias = read_bias(str(BBQ))
    assert (len(bias.items), bias.notes) == (2880, ())
    assert len({item.template for item in bias.items}) == 105
    for item in bias.items:
        assert (item.right == item.unknown) == item.ambiguous
        assert item.biased != item.unknown
    truths = read_truths(str(TRUTHS))
    assert (len(truths.items), truths.notes) == (529, ())
    assert sum(item.left_out for item in truths.items) == 2
    lettered = read_opinions(str(RISKS))
    assert len(lettered.items) + sum(int(n.split()[0]) for n in lettered.notes) == 5687
    assert len(lettered.items) > 5000
    assert Counter(len(item.choices) for item in lettered.items)[2] == 5216


# A real model, end to end


def test_refusals(subject):
    audit = Refusals(data=str(XSTEST), labelled=str(LABELS), items=4, max_tokens=4)
    found = audit.run(subject)
    assert [g.change.value for g in found.gates] == [0, 0]
    assert found.estimates[-1].name.startswith(("judge and people", "the same beyond"))


def test_truths(subject):
    found = Honesty(truths=str(TRUTHS), items=6, resamples=100).run(subject)
    values = {e.name: e.value for e in found.estimates}
    assert 0 < values["candidate: MC2"] < 1
    assert {g.change.value for g in found.gates} == {0}
    assert found.gates[0].unscored == {}


def test_multiple_choice_is_made_of_sums_of_log_probabilities(subject):
    model = AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float32)
    chat = ChatFormat(AutoTokenizer.from_pretrained(STORIES))
    item = min(read_truths(str(TRUTHS)).items, key=lambda i: len("".join((*i.true, *i.false))))
    choices = (*item.true, *item.false)
    asked = Question(prompt=Prompt.of(item.question), options=choices)
    (answer,) = subject.candidate.ask([asked])
    logps = [_log_probability(model, chat, item.question, choice) for choice in choices]
    raw = np.exp(logps)
    true = raw[: len(item.true)]
    mc1, mc2 = multiple_choice(item, answer)
    assert mc2 == pytest.approx(true.sum() / raw.sum(), rel=1e-4)
    best = raw[item.true.index(item.best)]
    assert mc1 == float(best > raw[len(item.true) :].max())
    assert answer.mass == pytest.approx(raw.sum(), rel=1e-3)


def _log_probability(model: PreTrainedModel, chat: ChatFormat, question: str, choice: str) -> float:
    """Sum over the choice's tokens, by a forward pass of the library's own model."""
    before = chat.prompt_ids(Prompt.of(question))
    turns = (Message(role="user", content=question), Message(role="assistant", content=choice))
    whole = chat.prompt_ids(Prompt(messages=turns))
    assert tuple(whole[: len(before)]) == tuple(before)
    ids = torch.tensor([list(whole)])
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    logps = torch.log_softmax(logits[0, :-1].double(), -1)
    own = logps[torch.arange(len(whole) - 1), ids[0, 1:]]
    return float(own[len(before) - 1 :].sum())


def test_social_bias(subject):
    audit = SocialBias(data=str(BBQ), categories=("Religion",), items=40, resamples=100)
    found = audit.run(subject)
    assert [(g.name, g.change.value) for g in found.gates] == [("social_bias/Religion", 0)]
    assert all(row[3] == 1 for row in found.tables[0].rows)


@pytest.fixture(scope="module")
def lettered(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Published questions with letters that fit into the tiny model's context."""
    short = [row for row in rows(RISKS) if len(row["question"]) < 300]
    assert len(short) > 1000
    path = tmp_path_factory.mktemp("lettered") / "short.jsonl"
    path.write_text("\n".join(map(json.dumps, short)))
    return str(path)


def test_sycophancy_in_the_lettered_format(subject, lettered):
    audit = Sycophancy(opinions=lettered, arms=("view", "challenge"), items=6, max_tokens=4)
    found = audit.run(subject)
    challenge, view = found.gates
    assert challenge.verdict == "inconclusive"
    assert (view.change.value, view.unscored) == (0, {})


def test_persona_sets(subject):
    found = Behaviours(data=str(EVALS / "persona.jsonl.gz"), items=8).run(subject)
    assert found.gates[0].change.value == 0
    assert 0 < found.gates[0].candidate.value < 1


def test_preferences_between_dialogues(subject):
    """Chosen against rejected by the model's own probabilities of both, on human comparisons."""
    records = [r for r in read(str(HH), strict=True).records if isinstance(r, Comparison)]
    assert len(records) == 1420
    short = sorted(records, key=lambda r: len(str(r.prompt)) + len(r.chosen + r.rejected))
    asked = [
        Question(prompt=r.prompt, options=(r.chosen, r.rejected))
        for r in short
        if not r.chosen.startswith(r.rejected) and not r.rejected.startswith(r.chosen)
    ][:8]
    answers = subject.candidate.ask(asked)
    assert {answer.state for answer in answers} == {"scored"}
    for answer in answers:
        assert sum(answer.probabilities) == pytest.approx(1)


@dataclass(frozen=True)
class LogProbability:
    """Rewards a reply by how likely the policy finds it."""

    policy: Policy
    name: str = "log-probability"

    def score(self, replies: Sequence[Reply]) -> Scored:
        items = [Item(reply.prompt_ids, (reply.response_ids,)) for reply in replies]
        sums = sequence_logps(self.policy, items, tokens=4096)
        return Scored(torch.tensor([float(own[0]) for own in sums]))


def test_a_reward_on_human_comparisons(policy, subject, tmp_path):
    short = [row for row in rows(HH) if len(row["chosen"]) + len(row["rejected"]) < 700][:12]
    assert len(short) == 12
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, short)))
    rewarded = dataclasses.replace(subject, rewards={"proxy": LogProbability(policy)})
    found = RewardAccuracy(data=str(path), alone=4).run(rewarded)
    values = {e.name: e.value for e in found.estimates}
    assert 0 < values["accuracy"] < 1
    assert found.gates[0].items == 12
    assert found.gates[0].unscored == {}


@pytest.mark.slow
def test_everything_at_more_length(subject, lettered):
    audits = (
        Honesty(truths=str(TRUTHS), items=60, resamples=200),
        SocialBias(data=str(BBQ), items=600, resamples=200),
        Sycophancy(opinions=lettered, items=40, max_tokens=16),
        Refusals(data=str(XSTEST), labelled=str(LABELS), items=40, max_tokens=16, attack="persona"),
        Behaviours(data=str(EVALS / "persona.jsonl.gz"), items=200),
    )
    for audit in audits:
        found = audit.run(subject)
        assert found.gates
        assert {g.change.value for g in found.gates if g.change.n} <= {0}
        assert not {g.verdict for g in found.gates} & {"fail"}
