"""Honesty: multiple choice by hand, calibration on known beliefs, abstention and its threshold."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from fairlead.audits import Model, Subject
from fairlead.audits.honesty import Honesty, multiple_choice
from fairlead.audits.items.own.truths import own_truths
from fairlead.audits.items.truths import TruthItem, read_truths
from fairlead.audits.planted.honesty import knowing
from fairlead.audits.planted.scripted import Behaviour, Scripted
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.stats.selective import abstention_scores, brier, selective_accuracy

ITEM = TruthItem("?", "b.", ("a.", "b."), ("c.", "d."))


def answered(*shares: float) -> Answer:
    return Answer(probabilities=shares, mass=0.01)


@pytest.mark.parametrize(
    ("shares", "mc1", "mc2"),
    [
        ((0.1, 0.4, 0.3, 0.2), 1.0, 0.5),
        ((0.5, 0.1, 0.3, 0.1), 0.0, 0.6),  # the best true answer, not just any
        ((0.1, 0.3, 0.3, 0.3), 1 / 3, 0.4),
        ((0.0, 0.0, 1.0, 0.0), 0.0, 0.0),
    ],
)
def test_multiple_choice_by_hand(shares, mc1, mc2):
    assert multiple_choice(ITEM, answered(*shares)) == pytest.approx((mc1, mc2))


def test_multiple_choice_needs_ratios_only():
    logps = np.array([-30.0, -32.0, -31.0, -40.0])
    raw = np.exp(logps)
    shares = tuple(float(p) for p in raw / raw.sum())
    assert multiple_choice(ITEM, answered(*shares))[1] == pytest.approx(raw[:2].sum() / raw.sum())
    assert np.isnan(multiple_choice(ITEM, Answer(state="error"))).all()


def test_items_of_the_published_table(tmp_path):
    row = {
        "Question": "Q?",
        "Category": "Myths",
        "Best Answer": "No",
        "Correct Answers": "No; Nobody knows; It is so; Both",
        "Incorrect Answers": "Yes; Both; It is so. Really; ",
    }
    targets = {
        "question": "R?",
        "mc1_targets": {"choices": ["T", "F"], "labels": [1, 0]},
        "mc2_targets": {"choices": ["T", "U", "F"], "labels": [1, 1, 0]},
    }
    path = tmp_path / "truths.jsonl"
    path.write_text("\n".join(map(json.dumps, [row, targets, {"Question": "only"}])))
    read = read_truths(str(path))
    first, second = read.items
    assert (first.best, first.true, first.false) == (
        "No.",
        ("No.", "Nobody knows."),
        ("Yes.", "It is so. Really."),
    )
    assert first.left_out == 2
    assert (second.best, second.true, second.false) == ("T.", ("T.", "U."), ("F.",))
    assert "1 rows" in read.notes[0]


def believing(false: float, sharper: float = 1.0) -> Behaviour:
    return knowing(false, sharper, seed=Seed(3))


def finding(candidate: Behaviour, baseline: Behaviour, **settings):
    subject = Subject(
        candidate=Model("c", Scripted(candidate, seed=Seed(1))),
        baseline=Model("b", Scripted(baseline, seed=Seed(2))),
        seed=Seed(0),
    )
    return Honesty(resamples=100, **settings).run(subject)


def test_truth_and_falsehood():
    one = finding(believing(1.0), believing(0.0), parts=("truth",))
    assert [(g.name, g.hard) for g in one.gates] == [
        ("honesty/false answers chosen", True),
        ("honesty/MC1 lost", False),
        ("honesty/MC2 lost", False),
    ]
    assert [g.change.value for g in one.gates] == pytest.approx([1, 1, 0.6])
    assert [g.verdict for g in one.gates] == ["fail"] * 3
    assert len(one.passages) == 10


def test_a_liking_for_a_letter_is_no_belief():
    def letter(question: Question, draws: np.random.Generator) -> Answer:
        n = len(question.options)
        return Answer(probabilities=(0.9, *[0.1 / (n - 1)] * (n - 1)), mass=1.0)

    one = finding(letter, believing(0.0), parts=("truth",))
    assert one.gates[0].candidate.value == pytest.approx(0.5)


def test_servers_without_whole_answers_still_choose():
    def letters_only(question: Question, draws: np.random.Generator) -> Answer:
        if question.options[0] != "A":
            return Answer(state="parse_fail")
        return believing(0.0)(question, draws)

    one = finding(letters_only, letters_only, parts=("truth",))
    assert [g.change.n for g in one.gates] == [len(own_truths()), 0, 0]
    assert "whole answers" in one.gates[1].change.method


def test_unanswered_questions_count_as_false():
    def silent(question: Question, draws: np.random.Generator) -> Answer:
        return Answer(state="error")

    one = finding(silent, believing(0.0), items=40)
    values = {g.name: g for g in one.gates}
    assert values["honesty/false answers chosen"].change.value == 1
    assert values["honesty/calibration error"].candidate is None
    assert values["honesty/calibration error"].change.value > 0.5
    assert {g.verdict for g in one.gates} == {"fail"}


def test_calibration_of_known_beliefs():
    one = finding(believing(0.0, 20.0), believing(0.0), parts=("calibration",), items=400)
    rows = {row[:2]: row for row in one.tables[0].rows}
    columns = one.tables[0].columns
    calibrated = dict(zip(columns, rows["baseline", "probability"], strict=True))
    sharpened = dict(zip(columns, rows["candidate", "probability"], strict=True))
    assert calibrated["by chance from"] <= calibrated["error"] <= calibrated["to"]
    assert sharpened["p"] < 0.01
    assert sharpened["error"] > 0.3
    # The largest of four shares that are uniform on the simplex: (1 + 1/2 + 1/3 + 1/4) / 4.
    assert calibrated["right"] == pytest.approx(25 / 48, abs=0.08)
    assert calibrated["right on the surest 80%"] > calibrated["right"]
    assert one.gates[0].verdict == "fail"


def test_choices_go_around():
    seen: list[int] = []

    def first(question: Question, draws: np.random.Generator) -> Answer:
        n = len(question.options)
        seen.append(n)
        return Answer(probabilities=(1.0, *[0.0] * (n - 1)), mass=1.0)

    one = finding(first, first, parts=("calibration",), items=400)
    # Whoever always says (A) is right where the right answer stands there.
    values = {e.name: e.value for e in one.estimates}
    assert values["candidate: right on multiple choice"] == pytest.approx(0.27, abs=0.05)
    assert max(seen) == 10


@given(
    some.lists(some.tuples(some.integers(0, 4), some.booleans()), min_size=1, max_size=12),
    some.floats(0.1, 1),
)
def test_selective_accuracy_is_the_mean_over_orders_of_ties(cases, coverage):
    chances = np.array([c / 4 for c, _ in cases])
    right = np.array([float(r) for _, r in cases])
    wanted = coverage * len(cases)
    draws = np.random.default_rng(0)
    found = []
    for _ in range(300):
        order = np.lexsort((draws.random(len(cases)), -chances))
        weights = np.clip(wanted - np.arange(len(cases)), 0, 1)
        found.append((weights * right[order]).sum() / wanted)
    assert selective_accuracy(chances, right, coverage) == pytest.approx(np.mean(found), abs=0.12)


def test_scores_by_hand():
    chances, right = np.array([0.9, 0.8, 0.6, 0.5, 0.5]), np.array([1.0, 1.0, 0.0, 1.0, 0.0])
    assert selective_accuracy(chances, right, 0.6) == pytest.approx(2 / 3)
    assert selective_accuracy(chances, right, 0.8) == pytest.approx(2.5 / 4)
    assert selective_accuracy(chances, right, 1.0) == pytest.approx(3 / 5)
    assert brier(chances, right) == pytest.approx((0.01 + 0.04 + 0.36 + 0.25 + 0.25) / 5)
    silent = np.array([False, False, False, True, False])
    assert abstention_scores(right, silent, 0.75).tolist() == [1, 1, -3, 0, -3]


def test_own_truths_differ():
    items = own_truths()
    assert len(items) >= 40
    assert len({i.question for i in items}) == len(items)
    assert all(i.best != i.false[0] and i.best.endswith(".") for i in items)
