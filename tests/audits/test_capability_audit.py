"""The price of alignment: flips by hand, reading of choices, perplexity, and a lost ability."""

import copy
import re

import numpy as np
import pytest
import torch

from fairlead.audits.base import Model, Subject
from fairlead.audits.capability import Capability, ChoiceTask, ProblemTask
from fairlead.audits.items.multiple_choice import parse_choices
from fairlead.audits.items.reading import BadItem
from fairlead.audits.planted.cases import CASES, flagged
from fairlead.audits.planted.drift import small_policy
from fairlead.audits.planted.scripted import Scripted
from fairlead.audits.planted.written import written
from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.judges.asking import Answer, Question
from fairlead.judges.local import LocalRespondent
from fairlead.records import Prompt
from fairlead.rewards.verifiers import NumberChecker
from fairlead.stats.significance import binomial_test

CASE = CASES["an ability lost"]


def _number(question: Question) -> int:
    return int(re.findall(r"\d+", question.prompt.messages[0].content)[0])


def _subject(ours, theirs, **more) -> Subject:
    both = (Scripted(behave, seed=Seed(0)) for behave in (ours, theirs))
    one, two = both
    return Subject(candidate=Model("c", one), baseline=Model("b", two), seed=Seed(0), **more)


def _sums(count: int):
    return written({"problem": f"Double {i}.", "answer": str(2 * i)} for i in range(count))


def test_flips_by_hand():
    # Of 20 items the candidate alone misses 0 to 3, the baseline alone 4 and 5, both miss 6.
    def ours(q, _):
        return Answer(text=str(2 * _number(q) + (_number(q) in (0, 1, 2, 3, 6))))

    def theirs(q, _):
        return Answer(text=str(2 * _number(q) + (_number(q) in (4, 5, 6))))

    with _sums(20) as path:
        task = ProblemTask(name="doubling", data=path, checker=NumberChecker())
        found = Capability(tasks=(task,)).run(_subject(ours, theirs))
    gate = found.gates[0]
    assert gate.change.value == pytest.approx((4 - 2) / 20)
    assert (gate.flips.worse, gate.flips.better) == (4, 2)
    assert gate.flips.p == pytest.approx(binomial_test(4, 6))
    row = found.tables[0].rows[0]
    assert row[2:4] == (pytest.approx(17 / 20), pytest.approx(15 / 20))
    assert gate.adjusted_p is None
    assert [p.prompt for p in found.passages] == [f"Double {i}." for i in range(4)]


def test_cut_off_is_wrong_and_errors_are_bounded():
    def ours(q, _):
        state = "truncated" if _number(q) < 3 else "error" if _number(q) < 5 else "scored"
        return Answer(state=state, text="" if state == "error" else str(2 * _number(q)))

    def theirs(q, _):
        return Answer(text=str(2 * _number(q)))

    with _sums(20) as path:
        task = ProblemTask(name="doubling", data=path, checker=NumberChecker())
        strict = Capability(tasks=(task,)).run(_subject(ours, theirs))
        lenient = task.model_copy(update={"allow_truncated": True})
        kind = Capability(tasks=(lenient,)).run(_subject(ours, theirs))
    assert strict.gates[0].change.value == pytest.approx(5 / 20)
    assert strict.gates[0].unscored == {"error": 2}
    assert strict.notes == ("doubling: cut off and counted as wrong: candidate 3, baseline 0.",)
    assert kind.gates[0].change.value == pytest.approx(2 / 20)


@pytest.mark.parametrize("ask", ["letters", "words"])
def test_choices_by_their_probabilities(ask):
    rows = [
        {"question": f"Which is {i}?", "choices": [f"n{i}", f"n{i + 1}", "none"], "answer": i % 3}
        for i in range(12)
    ]

    def first(q, _):
        return Answer(probabilities=(0.5, 0.3, 0.2), mass=1.0)

    def right(q, _):
        place = _number(q) % 3
        return Answer(probabilities=tuple(0.6 if i == place else 0.2 for i in range(3)), mass=1.0)

    with written(rows) as path:
        found = Capability(tasks=(ChoiceTask(name="pick", data=path, ask=ask),)).run(
            _subject(first, right)
        )
    # The first choice is right in a third of them.
    assert found.gates[0].change.value == pytest.approx(2 / 3)
    assert found.passages[0].baseline == "n2"


def test_questions_of_its_own_have_their_answers_in_every_place():
    def at(place):
        def behave(q, _):
            count = len(q.options)
            return Answer(probabilities=tuple(float(i == place % count) for i in range(count)))

        return behave

    task = ChoiceTask(name="simple questions", items=1000)
    found = Capability(tasks=(task,)).run(_subject(at(0), at(1)))
    row = found.tables[0].rows[0]
    # Whoever always says the same letter is right no more often than by chance.
    assert row[2:4] == (pytest.approx(0.3, abs=0.08), pytest.approx(0.3, abs=0.08))
    assert found.gates[0].items > 300


def test_formats_of_choices():
    plain = {"question": "q", "choices": ["x", "y"], "answer": "B"}
    arc = {"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"}
    swag = {"ctx": "q", "endings": ["x", "y"], "label": "1"}
    told = {"question": "q", "options": ["x", "y"], "gold": "y"}
    assert [parse_choices(row).right for row in (plain, arc, swag, told)] == [1, 1, 1, 1]
    with pytest.raises(BadItem, match="none of the choices"):
        parse_choices({"question": "q", "choices": ["x", "y"], "answer": "C"})
    with pytest.raises(BadItem, match="two different"):
        parse_choices({"question": "q", "choices": ["x", "x"], "answer": 0})
    with pytest.raises(KeyError):
        parse_choices({"question": "q", "answer": 0})


def test_pooled_over_tasks():
    def ours(q, _):
        return Answer(text=str(2 * _number(q) + (_number(q) % 10 == 0)))

    def theirs(q, _):
        return Answer(text=str(2 * _number(q)))

    with _sums(40) as one, _sums(200) as two:
        tasks = tuple(
            ProblemTask(name=name, data=path, checker=NumberChecker())
            for name, path in (("few", one), ("many", two))
        )
        found = Capability(tasks=tasks).run(_subject(ours, theirs))
    assert found.estimates[0].name == "accuracy lost, all tasks"
    assert found.estimates[0].value == pytest.approx(0.1)
    assert all(gate.adjusted_p is not None for gate in found.gates)
    assert Capability(tasks=tasks).data == (one, two)


def test_perplexity_of_held_out_replies():
    policy = small_policy()
    shown = [("add 1", "two"), ("add 2", "three"), ("add 3", "four and more")]
    rows = [{"prompt": p, "response": r} for p, r in shown]
    model = Model("m", LocalRespondent(policy, seed=Seed(0)), policy)
    subject = Subject(candidate=model, baseline=model, seed=Seed(0))
    chat = ChatFormat(policy.tokenizer)
    plain = copy.deepcopy(policy.model)
    plain.set_attn_implementation("eager")
    nats, tokens = 0.0, 0
    for prompt, reply in shown:
        before, after = chat.response_ids(Prompt.of(prompt), reply)
        with torch.no_grad():
            logps = plain(torch.tensor([[*before, *after]])).logits[0].log_softmax(-1)
        for i, token in enumerate(after):
            nats -= float(logps[len(before) + i - 1, token])
        tokens += len(after)
    with written(rows) as held_out, _sums(4) as path:
        task = ProblemTask(name="d", data=path, checker=NumberChecker(), max_tokens=4)
        found = Capability(tasks=(task,), held_out=held_out).run(subject)
    rates = {e.name: e for e in found.estimates}
    expected = pytest.approx(np.exp(nats / tokens), rel=1e-4)
    assert rates["perplexity of held-out replies, candidate"].value == expected
    assert rates["nats more per held-out character"].value == 0.0


def test_no_weights_no_perplexity_and_no_problems_no_task():
    with _sums(4) as path, written([{"prompt": "p", "response": "r"}]) as other:
        task = ProblemTask(name="d", data=path, checker=NumberChecker())
        silent = _subject(lambda *_: Answer(text="1"), lambda *_: Answer(text="1"))
        found = Capability(tasks=(task,), held_out=other).run(silent)
        assert found.notes == ("No perplexity: a model is behind a server.",)
        wrong = task.model_copy(update={"data": other})
        with pytest.raises(DataError, match="without problems"):
            Capability(tasks=(wrong,)).run(silent)
    with pytest.raises(ValueError, match="names that differ"):
        Capability(tasks=(task, task))


def test_planted_and_clean():
    assert all(flagged(CASE.planted(Seed(i))) for i in range(10))
    alarms = sum(flagged(CASE.clean(Seed(100 + i))) for i in range(60))
    assert binomial_test(alarms, 60, 0.05, side="greater") > 0.01
