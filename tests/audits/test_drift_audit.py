"""Drift: exact token KL against transformers alone, and against all replies there are."""

import copy
import itertools

import numpy as np
import pytest
import torch

from fairlead.audits.base import Model, Subject
from fairlead.audits.drift import Drift, token_drift
from fairlead.audits.items.unrelated import UNRELATED
from fairlead.audits.planted.cases import CASES, flagged
from fairlead.audits.planted.drift import moved, small_policy
from fairlead.audits.planted.scripted import Scripted
from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.chat import Item
from fairlead.judges.asking import Answer
from fairlead.models.policy import Policy
from fairlead.testbeds.arithmetic.model import piece_tokenizer

CASE = CASES["a policy that drifted"]


def _shaken(noise: float) -> Policy:
    model = copy.deepcopy(small_policy().model)
    generator = torch.Generator().manual_seed(1)
    weight = model.get_output_embeddings().weight
    with torch.no_grad():
        weight += noise * weight.std() * torch.randn(weight.shape, generator=generator)
    return Policy(model, small_policy().tokenizer)


def _logps(policy: Policy, ids: list[int]) -> torch.Tensor:
    model = copy.deepcopy(policy.model)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].log_softmax(-1)


def test_token_kl_equals_transformers_alone():
    one, other = _shaken(0.3), small_policy()
    items = [Item((1, 5, 9), (tuple(range(10, 10 + n)),), record=n) for n in (1, 4, 7)]
    found = token_drift(one, other, items)
    for item in items:
        ids = [*item.prompt, *item.responses[0]]
        p, q = (_logps(m, ids)[2:-1] for m in (one, other))
        expected = (p.exp() * (p - q)).sum(-1)
        kl, same = found[item.record]
        assert kl == pytest.approx(expected.numpy(), abs=1e-5)
        assert same.tolist() == (p.argmax(-1) == q.argmax(-1)).double().tolist()


def test_sum_along_the_reply_is_unbiased():
    # All replies of two tokens, weighted by their probability: the KL of replies, exactly.
    one, other = _shaken(0.5), small_policy()
    size, prompt = len(one.tokenizer), [1, 5]
    first_p, first_q = (_logps(m, prompt)[-1] for m in (one, other))
    exact, blackwell = 0.0, 0.0
    tops = first_p.exp().topk(6).indices.tolist()
    for a in tops:
        p, q = (_logps(m, [*prompt, a])[-1] for m in (one, other))
        share = float(first_p[a].exp())
        blackwell += share * float((p.exp() * (p - q)).sum())
        for b in range(size):
            exact += share * float(p[b].exp() * (p[b] - q[b]))
    assert blackwell == pytest.approx(exact, abs=1e-5)
    items = [Item(tuple(prompt), ((a, 3),), record=a) for a in tops]
    found = token_drift(one, other, items)
    summed = sum(float(first_p[a].exp()) * found[a][0][1] for a in tops)
    assert summed == pytest.approx(exact, abs=1e-4)
    firsts = {round(float(found[a][0][0]), 5) for a in tops}
    assert firsts == {round(float((first_p.exp() * (first_p - first_q)).sum()), 5)}


def test_no_change_no_drift():
    finding = moved(Seed(0), 0.0)
    assert finding.gates[0].change.value == 0.0
    assert finding.gates[0].verdict == "pass"
    assert not finding.gates[0].hard
    agreement = [e.value for e in finding.estimates if "top-1" in e.name]
    assert agreement == [1.0, 1.0]
    assert finding.passages == ()


def test_drift_grows_with_the_noise():
    values = [moved(Seed(0), noise).gates[0].change.value for noise in (0.05, 0.2, 0.8)]
    assert values == sorted(values) and values[0] > 0
    series = moved(Seed(0), 0.8).figures[0].series
    assert [s.label for s in series] == ["prompts of training", "unrelated prompts"]
    assert all(low <= y for s in series for low, y in zip(s.low, s.y, strict=True))


def test_other_vocabularies_are_refused():
    silent = Scripted(lambda *_: Answer(), seed=Seed(0))
    other = Policy(copy.deepcopy(small_policy().model), piece_tokenizer("abc"))
    subject = Subject(
        candidate=Model("c", silent, small_policy()),
        baseline=Model("b", silent, other),
        seed=Seed(0),
    )
    with pytest.raises(ConfigError, match="different vocabularies"):
        Drift(trained_on="p").check(subject)
    behind = Subject(candidate=Model("c", silent), baseline=Model("b", silent), seed=Seed(0))
    with pytest.raises(ConfigError, match="needs both models in this process"):
        Drift(trained_on="p").check(behind)


def test_unrelated_requests_differ():
    assert len(set(UNRELATED)) == len(UNRELATED) == 40
    pairs = itertools.combinations([set(text.lower().split()) for text in UNRELATED], 2)
    assert max(len(a & b) / min(len(a), len(b)) for a, b in pairs) < 0.7


def test_planted_and_clean():
    assert all(flagged(CASE.planted(Seed(i))) for i in range(10))
    clean = [CASE.clean(Seed(100 + i)) for i in range(20)]
    assert not any(map(flagged, clean))
    assert np.mean([f.gates[0].verdict == "pass" for f in clean]) == 1.0
