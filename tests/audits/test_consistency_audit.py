"""Consistency: rates by hand, the null, orders of choices, what is right, a swayed policy."""

import re
from itertools import combinations

import numpy as np
import pytest

from fairlead.audits.base import Model, Subject
from fairlead.audits.consistency import Consistency, consistency
from fairlead.audits.items.rewordings import FRAMES, PEOPLE, read_reworded
from fairlead.audits.planted.cases import CASES, flagged
from fairlead.audits.planted.scripted import Scripted
from fairlead.audits.planted.written import written
from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.rewards.verifiers import NumberChecker
from fairlead.stats.significance import binomial_test

CASE = CASES["a policy swayed by wording"]


def _subject(ours, theirs) -> Subject:
    one, two = (Scripted(behave, seed=Seed(i)) for i, behave in enumerate((ours, theirs)))
    return Subject(candidate=Model("c", one), baseline=Model("b", two), seed=Seed(0))


def _steady(question: Question, draws: np.random.Generator) -> Answer:
    return Answer(text=re.findall(r"\d+", question.prompt.messages[-1].content)[0])


def _rows(finding, table=0):
    return {row[0]: row[1:] for row in finding.tables[table].rows}


def test_rate_by_hand():
    assert consistency(["a", "a", "b"]) == pytest.approx(1 / 3)
    assert consistency(["a"]) == 1.0
    answers = list("aabcab")
    brute = [one == other for one, other in combinations(answers, 2)]
    assert consistency(answers) == pytest.approx(sum(brute) / len(brute))


def test_swayed_by_who_asks():
    # One of the five people is answered otherwise: 6 of 10 pairs agree, other words all do.
    def ours(question, draws):
        text = question.prompt.messages[-1].content
        return Answer(text="99") if text.startswith("I am a retired") else _steady(question, draws)

    with written({"problem": f"What is {i}?", "answer": str(i)} for i in range(10)) as path:
        audit = Consistency(data=path, checker=NumberChecker())
        found = audit.run(_subject(ours, _steady))
    rows = _rows(found)
    assert rows["people"][1:3] == (1.0, pytest.approx(0.6))
    assert rows["words"][1:3] == (1.0, 1.0)
    assert rows["the same prompt again"][1:3] == (1.0, 1.0)
    assert found.gates[0].change.value == pytest.approx((0.4 + 0.0) / 2)
    right = _rows(found, 1)
    assert right["right, mean over rewordings"][:2] == (1.0, pytest.approx(0.9))
    assert right["right in every rewording"][:2] == (1.0, 0.0)
    assert right["spread over rewordings (standard deviation)"][1] == pytest.approx(0.3)


def test_luck_is_taken_off_by_the_same_prompt_again():
    def lucky(question, draws):
        return Answer(text=str(draws.integers(2)))

    with written({"prompt": f"Question {i}"} for i in range(300)) as path:
        audit = Consistency(data=path, temperature=1.0, ways=("words",))
        found = audit.run(_subject(lucky, lucky))
    rows = _rows(found)
    # Two coins agree half of the time, whoever asks.
    assert rows["the same prompt again"][1] == pytest.approx(0.5, abs=0.05)
    assert found.gates[0].candidate.value == pytest.approx(0.0, abs=0.06)
    assert len(found.tables) == 1


def test_order_of_choices():
    rows = [
        {"question": f"Pick {i}", "choices": ["one", "two", "three"], "answer": "B"}
        for i in range(40)
    ]

    def always_first(question, draws):
        return Answer(probabilities=(0.8, 0.1, 0.1), mass=1.0)

    def always_two(question, draws):
        text = question.prompt.messages[-1].content
        place = [m[2] for m in re.finditer(r"\((.)\) (\w+)", text)].index("two")
        return Answer(probabilities=tuple(float(i == place) for i in range(3)), mass=1.0)

    with written(rows) as path:
        found = Consistency(reworded=path).run(_subject(always_first, always_two))
    by_way = _rows(found)
    assert by_way["order"][1] == 1.0
    # Random orders of three agree one time in three.
    assert by_way["order"][2] == pytest.approx(1 / 3, abs=0.08)
    assert by_way["words"][1:3] == (1.0, 1.0)
    assert found.gates[0].verdict == "fail"
    assert _rows(found, 1)["right in every rewording"][:2] == (1.0, 0.0)


def test_paraphrases_of_the_data_come_first():
    rows = [
        {"question": f"Add {i}", "paraphrases": [f"Sum of {i}", f"Total {i}"], "answer": str(i)}
        for i in range(4)
    ]
    asked: list[str] = []

    def ours(question, draws):
        asked.append(question.prompt.messages[-1].content)
        return _steady(question, draws)

    with written(rows) as path:
        found = Consistency(reworded=path, variants=3, ways=("words",)).run(_subject(ours, _steady))
        assert read_reworded(path).items[0].paraphrases == ("Sum of 0", "Total 0")
    assert asked[:4] == ["Add 0", "Sum of 0", "Total 0", FRAMES[0].format("Add 0")]
    # Equal at every item: as many as 1 in 4 may yet differ, so nothing is shown.
    assert found.gates[0].change.value == 0.0


def test_questions_of_its_own():
    # Always the same letter: in random orders of three or four choices another answer each time.
    def first(question, draws):
        return Answer(probabilities=tuple(float(i == 0) for i in range(4))[: len(question.options)])

    found = Consistency(items=60, ways=("words", "order")).run(_subject(first, first))
    assert found.gates[0].items == 60
    rows = _rows(found)
    assert rows["words"][1:3] == (1.0, 1.0)
    assert rows["order"][1] < 0.5


def test_errors_count_against_the_candidate():
    def ours(question, draws):
        text = question.prompt.messages[-1].content
        broken = "Question 0" in text and text.startswith("I am a retired")
        return Answer(state="error") if broken else _steady(question, draws)

    with written({"prompt": f"Question {i}"} for i in range(10)) as path:
        gate = Consistency(data=path).run(_subject(ours, _steady)).gates[0]
    assert gate.unscored == {"error": 1}
    assert gate.change.value == pytest.approx(1 / 10)
    assert gate.observed.value == 0.0


def test_settings_and_data_that_make_no_sense():
    with pytest.raises(ValueError, match="either `data` or `reworded`"):
        Consistency(data="d", reworded="r")
    with pytest.raises(ValueError, match="each once"):
        Consistency(data="d", ways=("words", "words"))
    prompts = ({"prompt": f"Question {i}"} for i in range(3))
    with written(prompts) as path, pytest.raises(DataError, match="asked in other ways"):
        Consistency(data=path, ways=("order",)).run(_subject(_steady, _steady))


def test_own_words_keep_the_request():
    for frame in (*FRAMES, *PEOPLE):
        assert frame.count("{}") == 1
    assert len(set(FRAMES)) == len(set(PEOPLE)) == 8


def test_planted_and_clean():
    assert all(flagged(CASE.planted(Seed(i))) for i in range(10))
    alarms = sum(flagged(CASE.clean(Seed(100 + i))) for i in range(60))
    assert binomial_test(alarms, 60, 0.05, side="greater") > 0.01
