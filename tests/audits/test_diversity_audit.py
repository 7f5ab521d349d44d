"""Diversity: collapse by hand, groups of like replies, quality, entropy, coverage."""

import copy
import math
import re

import numpy as np
import pytest
import torch

from fairlead.audits.base import Model, Subject
from fairlead.audits.diversity import Diversity, alike, loss, token_entropy
from fairlead.audits.items.own.openings import own_openings
from fairlead.audits.planted.cases import CASES, flagged
from fairlead.audits.planted.diversity import sampled
from fairlead.audits.planted.drift import small_policy
from fairlead.audits.planted.scripted import Scripted
from fairlead.audits.planted.written import written
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.judges.asking import Answer, Question
from fairlead.judges.local import LocalRespondent
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward
from fairlead.stats.diversity import words
from fairlead.stats.significance import binomial_test

CASE = CASES["collapsed sampler"]


def _saying(text_of) -> Scripted:
    def behave(question: Question, draws: np.random.Generator) -> Answer:
        number = int(re.findall(r"\d+", question.prompt.messages[0].content)[0])
        text = text_of(number, question.sample)
        return Answer(state="error") if text is None else Answer(text=text)

    return Scripted(behave, seed=Seed(0))


def _found(ours, theirs, *, prompts=10, rewards=None, **settings):
    rows = ({"prompt": f"Question {i}?"} for i in range(prompts))
    with written(rows) as path:
        subject = Subject(
            candidate=Model("c", _saying(ours)),
            baseline=Model("b", _saying(theirs)),
            seed=Seed(0),
            rewards=rewards or {},
        )
        return Diversity.model_validate({"prompts": path, "samples": 4} | settings).run(subject)


def test_requests_of_its_own():
    assert len({opening.messages[0].content for opening in own_openings()}) == 120
    heard: list[str] = []

    def behave(question: Question, draws: np.random.Generator) -> Answer:
        heard.append(question.prompt.messages[0].content)
        return Answer(text=_four(0, question.sample))

    models = (Model(name, Scripted(behave, seed=Seed(0))) for name in "cb")
    candidate, baseline = models
    subject = Subject(candidate=candidate, baseline=baseline, seed=Seed(0))
    found = Diversity(items=30, samples=4).run(subject)
    assert len(set(heard)) == 30
    assert {Prompt.of(text) for text in heard} <= set(own_openings())
    assert found.gates[0].items == 30


def _four(i: int, k: int) -> str:
    return " ".join(f"w{i}{k}{j}" for j in range(4))


def _rows(finding):
    return {row[0]: row[1:] for row in finding.tables[0].rows}


def test_total_collapse_by_hand():
    found = _found(lambda i, k: _four(i, 0), _four)
    gate = found.gates[0]
    # Four equal samples keep a quarter of their n-grams; the baseline repeats none.
    assert gate.change.value == pytest.approx(0.75)
    assert (gate.candidate.value, gate.baseline.value) == (pytest.approx(0.75), pytest.approx(0.0))
    assert gate.verdict == "fail"
    rows = _rows(found)
    assert rows["different answers per sample"][:2] == (1.0, 0.25)
    assert rows["different kinds per sample"][:2] == (1.0, 0.25)
    assert rows["share of the most frequent opening"][:2] == (0.25, 1.0)
    assert rows["likeness of samples (self-BLEU-4)"][1] == pytest.approx(1.0)
    base = next(s for s in found.figures[0].series if s.label == "baseline")
    assert base.y == pytest.approx((1.0, 2.0, 3.0, 4.0))


def test_length_alone_is_no_diversity():
    # The same words over and over, only cut off earlier: at equal tokens nothing is lost.
    cycle = [f"w{j}" for j in range(12)]

    def long(i, k):
        return " ".join(cycle[(3 * k + j) % 12] for j in range(30))

    def short(i, k):
        return " ".join(long(i, k).split()[:10])

    found = _found(long, short)
    assert found.gates[0].change.value == pytest.approx(0.0)
    assert _rows(found)["different n-grams, all tokens"][2] < -0.1


def test_missing_samples_count_against_the_candidate():
    found = _found(lambda i, k: None if i == 0 and k == 2 else _four(i, k), _four)
    gate = found.gates[0]
    assert gate.unscored == {"error": 1}
    assert gate.change.value == pytest.approx(0.1)
    assert gate.observed is not None and gate.observed.value == pytest.approx(0.0)
    with pytest.raises(DataError, match="too few prompts were answered"):
        _found(lambda i, k: None, _four)


def test_groups_of_like_replies():
    texts = ["red apples are sweet", "red apples are very sweet", "boats need wind", "", " "]
    kinds = alike([[words(text) for text in texts]], 0.5)[0]
    assert kinds[0] == kinds[1] != kinds[2]
    assert kinds[3] == kinds[4] and kinds[3] not in kinds[:3]
    assert alike([[(), ()]], 0.5) == [[0, 0]]


def test_quality_looks_at_good_samples_only():
    # The candidate repeats its bad replies and varies the good ones; the baseline does the reverse.
    def ours(i, k):
        return f"good {_four(i, k)}" if k < 2 else "bad words here"

    def theirs(i, k):
        return "good words here" if k < 2 else f"bad {_four(i, k)}"

    good = FunctionReward(lambda _, text: float(text.startswith("good")))
    rewards = {"gold": good}
    rows = _rows(_found(ours, theirs, rewards=rewards, quality="gold"))
    # The baseline's median is one half, so only the good ones pass.
    assert rows["share of good samples"][:2] == (0.5, 0.5)
    assert rows["kinds among good samples, per sample"][:2] == (0.5, 1.0)
    with pytest.raises(ConfigError, match="no reward called silver"):
        _found(ours, theirs, rewards=rewards, quality="silver")


def test_entropy_equals_transformers_alone():
    policy = small_policy()
    prompts, texts = [Prompt.of("abc"), Prompt.of("de")], [["fgh", "i"], ["klm", "no"]]
    found = token_entropy(policy, prompts, texts)
    plain = copy.deepcopy(policy.model)
    plain.set_attn_implementation("eager")
    chat = ChatFormat(policy.tokenizer)
    for own, prompt, replies in zip(found, prompts, texts, strict=True):
        each = []
        for reply in replies:
            before, after = chat.response_ids(prompt, reply)
            with torch.no_grad():
                logps = plain(torch.tensor([[*before, *after]])).logits[0].log_softmax(-1)
            each += (-(logps.exp() * logps).sum(-1))[len(before) - 1 : -1].tolist()
        assert own == pytest.approx(sum(each) / len(each), abs=1e-4)


def test_a_model_in_this_process():
    policy = small_policy()
    both = [Model(n, LocalRespondent(policy, seed=Seed(i)), policy) for i, n in enumerate("cb")]
    with written({"prompt": f"number {i}"} for i in range(6)) as path:
        subject = Subject(candidate=both[0], baseline=both[1], seed=Seed(0))
        found = Diversity(prompts=path, samples=3, max_tokens=8).run(subject)
    rows = _rows(found)
    assert 0 < rows["nats of uncertainty per token"][0] < math.log(len(policy.tokenizer))
    assert found.gates[0].verdict != "fail"


def test_interval_covers_the_truth():
    hits, runs = 0, 150
    for seed in range(runs):
        draws = Seed(seed).child("data").numpy()
        base = draws.beta(6, 3, 60)
        rows = np.column_stack([base * draws.beta(8, 2, 60), base])
        found = loss(rows, seed=Seed(seed), level=0.95)
        hits += found.low <= 0.2 <= found.high
    # Two standard errors of 150 runs around the 90 to 97 % that are asked for.
    assert 0.90 - 0.035 <= hits / runs <= 0.97 + 0.03


def test_planted_and_clean():
    assert all(flagged(CASE.planted(Seed(i))) for i in range(10))
    alarms = sum(flagged(CASE.clean(Seed(100 + i))) for i in range(40))
    assert binomial_test(alarms, 40, 0.05, side="greater") > 0.01
    assert sampled(Seed(0), 0.0).gates[0].verdict == "pass"
