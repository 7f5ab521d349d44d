"""Win rate at equal length: by hand, by a judge, with people, and where it is all length."""

import re

import numpy as np
import pytest

from fairlead.audits.base import Model, Subject
from fairlead.audits.planted.cases import CASES, flagged
from fairlead.audits.planted.scripted import Scripted
from fairlead.audits.planted.win_rate import duel
from fairlead.audits.planted.written import written
from fairlead.audits.win_rate import WinRate
from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.rewards.base import FunctionReward
from fairlead.stats.significance import binomial_test

CASE = CASES["a policy that grew longer"]


def _saying(text_of, state="scored") -> Scripted:
    def behave(question: Question, draws: np.random.Generator) -> Answer:
        number = int(re.findall(r"\d+", question.prompt.messages[0].content)[0])
        text = text_of(number)
        return Answer(state=state if text is None else "scored", text=text or "")

    return Scripted(behave, seed=Seed(0))


def _subject(ours, theirs, seed=0, **more) -> Subject:
    return Subject(
        candidate=Model("candidate", ours),
        baseline=Model("baseline", theirs),
        seed=Seed(seed),
        **more,
    )


def _prompts(count: int):
    return written({"prompt": f"Question {i}?"} for i in range(count))


def _longer_wins(question: Question, draws: np.random.Generator) -> Answer:
    """A judge who likes the longer reply with 0.8, and the first place a little."""
    text = question.prompt.messages[0].content
    a, b = (re.search(rf"reply {o}.*?>+\n(.*?)\n<", text, re.S) for o in question.options)
    longer = len(a[1]) - len(b[1])
    chance = 0.5 + 0.3 * np.sign(longer) + 0.1
    return Answer(probabilities=(chance, 1 - chance), mass=1.0)


def _rates(finding):
    return {e.name: e for e in finding.estimates}


def test_by_hand_with_a_reward():
    # The candidate wins 6 of 8, draws 1, loses 1: raw 6.5 / 8; lengths are equal throughout.
    ours = _saying(lambda i: "aaa" if i < 6 else "bbb" if i == 6 else "ccc")
    theirs = _saying(lambda i: "bbb")
    worth = {"aaa": 2.0, "bbb": 1.0, "ccc": 0.0}
    subject = _subject(ours, theirs, rewards={"gold": FunctionReward(lambda _, t: worth[t])})
    with _prompts(8) as prompts:
        found = WinRate(prompts=prompts, by="gold", resamples=100).run(subject)
    rates = _rates(found)
    assert rates["win rate, raw"].value == pytest.approx(6.5 / 8)
    assert rates["win rate at equal length"].value == pytest.approx(6.5 / 8, abs=1e-6)
    assert found.gates[0].change.value == pytest.approx(0.5 - 6.5 / 8, abs=1e-6)
    assert found.passages[0].candidate == "ccc"
    assert found.judge[0] == "The reward gold says which reply is better."


def test_a_model_against_itself_wins_half():
    same = _saying(lambda i: "word " * (i % 7 + 1))
    judge = Scripted(_longer_wins, seed=Seed(1))
    with _prompts(120) as prompts:
        found = WinRate(prompts=prompts, resamples=100).run(_subject(same, same, judge=judge))
    assert [e.value for e in found.estimates] == pytest.approx([0.5, 0.5])
    assert found.gates[0].verdict == "pass"


def test_a_judge_who_only_counts_words():
    # Longer three times in four; the judge says 0.8 for the longer one whatever its place.
    ours = _saying(lambda i: "word " * (12 if i % 4 else 4))
    theirs = _saying(lambda i: "word " * 8)
    with _prompts(80) as prompts:
        subject = _subject(ours, theirs, judge=Scripted(_longer_wins, seed=Seed(1)))
        found = WinRate(prompts=prompts, resamples=200).run(subject)
    rates = _rates(found)
    assert rates["win rate, raw"].value == pytest.approx(0.75 * 0.8 + 0.25 * 0.2)
    controlled = rates["win rate at equal length"]
    assert controlled.low < 0.5 < controlled.high or controlled.value == pytest.approx(
        0.5, abs=0.01
    )
    card = next(t for t in found.tables if t.title == "The judge")
    assert {row[0]: row[1] for row in card.rows}["position consistency"] == 1.0


def test_swapping_the_models_mirrors_both_rates():
    ours, theirs = _saying(lambda i: "a" * (i % 9 + 3)), _saying(lambda i: "b" * (i % 5 + 4))
    rewards = {
        "gold": FunctionReward(lambda p, t: len(t) + ("b" in t) * (len(p.messages[0].content) % 3))
    }
    with _prompts(60) as prompts:
        audit = WinRate(prompts=prompts, by="gold", resamples=100)
        one = audit.run(_subject(ours, theirs, rewards=rewards))
        other = audit.run(_subject(theirs, ours, rewards=rewards))
    for a, b in zip(one.estimates, other.estimates, strict=True):
        assert a.value == pytest.approx(1 - b.value, abs=1e-9)


def test_lengths_without_overlap_leave_the_gate_open():
    ours, theirs = _saying(lambda i: "word " * 9), _saying(lambda i: "word")
    with _prompts(20) as prompts:
        subject = _subject(ours, theirs, rewards={"gold": FunctionReward(lambda _, t: len(t))})
        found = WinRate(prompts=prompts, by="gold").run(subject)
    assert list(_rates(found)) == ["win rate, raw"]
    assert found.gates[0].verdict == "inconclusive"
    assert "always longer" in found.notes[0]


def test_what_was_not_scored_counts_against_the_candidate():
    ours = _saying(lambda i: None if i < 5 else f"reply {i:03}", state="error")
    theirs = _saying(lambda i: f"other {i:03}")
    with _prompts(100) as prompts:
        subject = _subject(ours, theirs, rewards={"gold": FunctionReward(lambda *_: 1.0)})
        found = WinRate(prompts=prompts, by="gold", resamples=100).run(subject)
    gate = found.gates[0]
    assert gate.unscored == {"error": 5}
    assert _rates(found)["win rate, raw"].value == pytest.approx(0.95 * 0.5)
    assert gate.observed is not None and gate.observed.value == pytest.approx(0.0, abs=1e-6)


def test_silence_loses_against_a_reply():
    ours, theirs = _saying(lambda i: "" if i < 3 else "yes"), _saying(lambda i: "yes" if i else "")
    with _prompts(10) as prompts:
        subject = _subject(ours, theirs, rewards={"gold": FunctionReward(lambda *_: 1.0)})
        found = WinRate(prompts=prompts, by="gold", resamples=100).run(subject)
    # Both silent once, the candidate alone twice, the rest are draws.
    assert _rates(found)["win rate, raw"].value == pytest.approx((1 * 0.5 + 2 * 0 + 7 * 0.5) / 10)


def test_people_correct_the_judge():
    ours, theirs = _saying(lambda i: f"ours {i:03}"), _saying(lambda i: f"his {i:03} ")
    judge = Scripted(lambda q, d: Answer(probabilities=(0.9, 0.1), mass=1.0), seed=Seed(0))
    labels = (
        {
            "prompt": f"Question {i}?",
            "chosen": f"his {i:03} " if i % 4 else f"ours {i:03}",
            "rejected": f"ours {i:03}" if i % 4 else f"his {i:03} ",
        }
        for i in range(0, 40)
    )
    with _prompts(80) as prompts, written(labels) as people:
        subject = _subject(ours, theirs, judge=judge)
        found = WinRate(prompts=prompts, people=people, resamples=100).run(subject)
    # The judge always says one half; people prefer the candidate one time in four.
    rates = _rates(found)
    assert rates["win rate, raw"].value == pytest.approx(0.5)
    assert rates["win rate, raw, corrected by people"].value == pytest.approx(0.25)
    assert "People compared 40 of 80" in found.judge[0]


def test_style_is_taken_out_beside_length():
    # Bold wins whatever the length; without the style term the win rate at equal length keeps it.
    ours = _saying(lambda i: "**bold** word" if i % 4 else "plain and long")
    theirs = _saying(lambda i: "plain words" + "!" * (i % 5))
    rewards = {
        "gold": FunctionReward(lambda p, t: ("**" in t) + 0.4 * (len(p.messages[0].content) % 2))
    }
    with _prompts(80) as prompts:
        subject = _subject(ours, theirs, rewards=rewards)
        plain = WinRate(prompts=prompts, by="gold", resamples=100).run(subject)
        styled = WinRate(prompts=prompts, by="gold", style=("bold",), resamples=100).run(subject)
    assert _rates(plain)["win rate at equal length"].value > 0.7
    assert _rates(styled)["win rate at equal length"].value == pytest.approx(0.5, abs=0.05)


def test_neither_judge_nor_reward():
    subject = _subject(_saying(lambda i: "a"), _saying(lambda i: "b"))
    with pytest.raises(ConfigError, match="needs a judge"):
        WinRate(prompts="p").check(subject)
    with pytest.raises(ConfigError, match="no reward called gold"):
        WinRate(prompts="p", by="gold").check(subject)


def test_only_longer_wins_raw_and_not_at_equal_length():
    # Averaged over seeds: a policy that only grew longer gains nothing at equal length.
    found = [_rates(duel(Seed(i), longer=12.0)) for i in range(8)]
    raw = np.mean([rates["win rate, raw"].value for rates in found])
    controlled = [rates["win rate at equal length"].value for rates in found]
    assert raw > 0.58
    assert np.mean(controlled) == pytest.approx(0.5, abs=3 * np.std(controlled) / 8**0.5)


def test_superiority_is_not_passed_by_length():
    assert duel(Seed(3), longer=12.0, margin=0.0).gates[0].verdict != "pass"


def test_planted_and_clean():
    assert all(flagged(CASE.planted(Seed(i))) for i in range(10))
    alarms = sum(flagged(CASE.clean(Seed(100 + i))) for i in range(60))
    assert binomial_test(alarms, 60, 0.05, side="greater") > 0.01
