"""Checkers of form: JSON, sections and patterns, counted instructions."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import problem
from pydantic import ValidationError

from fairlead.core.errors import DataError
from fairlead.rewards.verifiers import (
    Constraints,
    ConstraintsChecker,
    FormatChecker,
    JsonChecker,
)

SCHEMA = {
    "type": "object",
    "properties": {"pens": {"type": "integer", "minimum": 0}, "who": {"type": "string"}},
    "required": ["pens"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "score", "reason"),
    [
        ('{"pens": 42}', 1.0, "correct"),
        ('So:\n```json\n{"pens": 42, "who": "Anna"}\n```', 1.0, "correct"),
        ('```json\n{"pens": 42}\n```\nor\n```json\n{"pens": "x"}\n```', 0.0, "wrong"),
        ('{"pens": 4.5}', 0.0, "wrong"),
        ('{"pens": -1}', 0.0, "wrong"),
        ('{"pens": 42, "more": 1}', 0.0, "wrong"),
        ("{}", 0.0, "wrong"),
        ("", 0.0, "no_answer"),
        ("```json\n\n```", 0.0, "no_answer"),
        ("{'pens': 42}", 0.0, "malformed"),
        ('{"pens": NaN}', 0.0, "malformed"),
        ('{"pens": ' + "9" * 5000 + "}", 0.0, "malformed"),
        ("[" * 100_000, 0.0, "malformed"),
        ('{"pens": 42} and more', 0.0, "malformed"),
        ("\ud800", 0.0, "malformed"),
    ],
)
def test_json(text, score, reason):
    for checker, answer in ((JsonChecker(accepts=SCHEMA), ""), (JsonChecker(), json.dumps(SCHEMA))):
        found = checker.check(problem(answer), text)
        assert (found.score, found.reason) == (score, reason)


def test_json_says_where_the_fault_is():
    found = JsonChecker(accepts=SCHEMA).check(problem(""), '{"pens": -1}')
    assert found.detail == "$.pens: -1 is less than the minimum of 0"


def test_a_schema_that_takes_for_ever_is_stopped():
    checker = JsonChecker(accepts={"type": "string", "pattern": "^(a+)+$"}, seconds=0.5)
    began = time.monotonic()
    assert checker.check(problem(""), json.dumps("a" * 40 + "b")).reason == "timeout"
    assert time.monotonic() - began < 10
    # A new process takes its time to start where the machine is busy.
    patient = checker.model_copy(update={"seconds": 30.0})
    assert patient.check(problem(""), json.dumps("aaa")).score == 1.0


@pytest.mark.parametrize("schema", ["", "pens", '{"type": "pen"}', '"object"', "[1]"])
def test_what_is_no_schema_is_refused(schema):
    with pytest.raises(DataError, match="no JSON Schema"):
        JsonChecker().check(problem(schema), "{}")


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("<think>6 * 7</think> <answer>42</answer>", ""),
        ("\n<think>a < b\n</think>\n<answer>42</answer>\n", ""),
        ("<answer>42</answer><think>x</think>", "no <think> where it must begin"),
        ("<think>x</think><answer>42", "no </answer>"),
        ("<think></think><answer>42</answer>", "nothing in <think>"),
        ("<think>x</think><answer>4</answer><answer>2</answer>", "words after the last section"),
        ("<think><answer>4</answer></think><answer>2</answer>", "a section inside <think>"),
        ("<think>x</think> so <answer>42</answer>", "no <answer> where it must begin"),
        ("42", "no <think> where it must begin"),
    ],
)
def test_sections(text, detail):
    found = FormatChecker(sections=("think", "answer")).check(problem("42"), text)
    assert (found.score, found.detail) == (0.0 if detail else 1.0, detail)
    assert found.reason == ("malformed" if detail else "correct")


def test_patterns_match_the_whole_reply_and_are_stopped_in_time():
    checker = FormatChecker(pattern=r"Answer: (a+)+", seconds=0.5)
    assert checker.check(problem(""), "Answer: aaa").score == 1.0
    assert checker.check(problem(""), "Answer: aaa.").reason == "malformed"
    assert checker.check(problem(""), "Answer: " + "a" * 40 + "b").reason == "timeout"
    assert checker.check(problem(""), "").reason == "no_answer"
    assert FormatChecker(pattern="a.b").check(problem(""), "a\nb").score == 1.0


@pytest.mark.parametrize("settings", [{}, {"sections": ("a",), "pattern": "b"}, {"pattern": "("}])
def test_impossible_formats_are_refused(settings):
    with pytest.raises(ValidationError):
        FormatChecker(**settings)


REPLY = """Here are my ideas:
- Drink tea.
* Walk.
3. Sleep well
That is all."""


@pytest.mark.parametrize(
    ("constraint", "text", "holds"),
    [
        ({"min_words": 13}, REPLY, True),
        ({"min_words": 15}, REPLY, False),
        ({"max_words": 14}, REPLY, True),
        ({"max_words": 12}, REPLY, False),
        ({"bullets": 3}, REPLY, True),
        ({"bullets": 2}, REPLY, False),
        ({"bullets": 0}, "5 - 3 is two\n-no bullet", True),
        ({"must_contain": ["TEA"]}, REPLY, True),
        ({"must_contain": ["drink  tea"]}, REPLY, True),
        ({"must_contain": ["te"]}, REPLY, False),
        ({"must_not_contain": ["coffee"]}, REPLY, True),
        ({"must_not_contain": ["walk"]}, REPLY, False),
        ({"starts_with": "Here"}, REPLY, True),
        ({"ends_with": "all."}, REPLY + "\n ", True),
        ({"ends_with": "all"}, REPLY, False),
        ({"must_contain": ["c++"]}, "I like c++.", True),
    ],
)
def test_each_constraint(constraint, text, holds):
    found = ConstraintsChecker(constraints=Constraints(**constraint)).check(problem(""), text)
    assert (found.score, found.reason) == ((1.0, "correct") if holds else (0.0, "unmet"))


def test_share_of_constraints_or_all_of_them():
    answer = '{"max_words": 5, "must_contain": ["tea", "milk"], "bullets": 0}'
    share = ConstraintsChecker().check(problem(answer), "tea without sugar")
    assert (share.score, share.detail) == (0.75, "must_contain milk")
    assert ConstraintsChecker(score="all").check(problem(answer), "tea without").score == 0.0
    assert ConstraintsChecker(score="all").check(problem(answer), "tea, milk").score == 1.0


def test_silence_satisfies_nothing():
    found = ConstraintsChecker().check(problem('{"max_words": 5}'), " \n")
    assert (found.score, found.reason) == (0.0, "no_answer")


@pytest.mark.parametrize("answer", ["", "{}", '{"words": 5}', '{"min_words": 5, "max_words": 4}'])
def test_what_holds_no_constraints_is_refused(answer):
    with pytest.raises(DataError, match="holds no constraints"):
        ConstraintsChecker().check(problem(answer), "tea")


@given(st.text(max_size=100))
def test_form_checkers_are_total(text):
    for checker in (
        FormatChecker(sections=("think", "answer")),
        FormatChecker(pattern="a.*"),
        JsonChecker(accepts=SCHEMA),
        ConstraintsChecker(constraints=Constraints(max_words=3, must_contain=("a",))),
    ):
        assert 0.0 <= checker.check(problem(""), text).score <= 1.0
