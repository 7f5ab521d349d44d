"""Checkers of short answers: exact, number, math."""

import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import QUESTION, problem

from fairlead.core.errors import DataError
from fairlead.rewards.verifiers import ExactChecker, MathChecker, NumberChecker
from fairlead.rewards.verifiers.boxes import boxed

SOLUTIONS = Path(__file__).parents[4] / "shared/data/gsm8k/example_model_solutions.part-A.jsonl.gz"


@pytest.mark.parametrize(
    ("answer", "text", "settings", "score", "reason"),
    [
        ("B", " B\n", {}, 1.0, "correct"),
        ("B", "b", {}, 0.0, "wrong"),
        ("B", "b", {"ignore_case": True}, 1.0, "correct"),
        ("New York", "New \n York", {}, 1.0, "correct"),
        ("B", " B", {"ignore_space": False}, 0.0, "wrong"),
        ("B", "", {}, 0.0, "no_answer"),
        ("A", "\u0410", {}, 0.0, "wrong"),  # a Cyrillic A
        ("B", "<answer>A</answer> or <answer>B</answer>", {"section": "answer"}, 1.0, "correct"),
        ("B", "B", {"section": "answer"}, 0.0, "no_answer"),
        ("B", "<answer>B", {"section": "answer"}, 0.0, "no_answer"),
    ],
)  # fmt: skip
def test_exact(answer, text, settings, score, reason):
    found = ExactChecker(**settings).check(problem(answer), text)
    assert (found.score, found.reason) == (score, reason)


@pytest.mark.parametrize(
    ("answer", "text", "score", "reason"),
    [
        ("42", "6 times 7 is 42.", 1.0, "correct"),
        ("42", "6 times 7 is 42. #### 41", 0.0, "wrong"),
        ("42", "#### 42 pens, which is 6 more than 36", 1.0, "correct"),
        ("42", "#### 41\nno:\n#### 42", 1.0, "several_answers"),
        ("42", "#### ", 0.0, "no_answer"),
        ("1200", "She pays $1,200.", 1.0, "correct"),
        ("1,200", "#### 1200.00", 1.0, "correct"),
        ("0.5", "the share is 1/2", 1.0, "correct"),
        ("0.5", ".50", 1.0, "correct"),
        ("500", "5e2", 1.0, "correct"),
        ("-3", "that makes -3", 1.0, "correct"),
        ("-3", "that makes \u22123", 1.0, "correct"),
        ("3", "from 10-3", 1.0, "correct"),
        ("42", "forty-two", 0.0, "no_answer"),
        ("42", "", 0.0, "no_answer"),
        ("42", "\uff14\uff12", 0.0, "no_answer"),  # full-width digits
        ("42", "\u0664\u0662", 0.0, "no_answer"),  # Arabic digits
        ("42", "9" * 100_000, 0.0, "malformed"),
        ("42", "1e99999999", 0.0, "malformed"),
        ("42", "42/0", 0.0, "malformed"),
        ("7", QUESTION, 0.0, "no_answer"),  # the question's own last number
        ("7", QUESTION + " 42", 0.0, "wrong"),
    ],
)
def test_number(answer, text, score, reason):
    found = NumberChecker().check(problem(answer), text)
    assert (found.score, found.reason) == (score, reason)


def test_number_settings():
    near = NumberChecker(tolerance=0.01)
    assert near.check(problem("3.14"), "3.1416").score == 1.0
    assert near.check(problem("3.14"), "3.16").score == 0.0
    strict = NumberChecker(need_marker=True, marker="A:")
    assert strict.check(problem("42"), "it is 42").reason == "no_answer"
    assert strict.check(problem("42"), "A: 42").score == 1.0
    with pytest.raises(DataError, match="must hold a number"):
        near.check(problem("many"), "42")


@given(st.fractions(max_denominator=10**6))
def test_every_fraction_is_read_back(value):
    text = f"so {value.numerator}/{value.denominator}."
    assert NumberChecker().check(problem(str(value)), text).score == 1.0


@given(st.text(alphabet="0123456789,./-eE#$ \u2212x", max_size=300))
def test_number_is_total_and_quick(text):
    assert 0.0 <= NumberChecker().check(problem("1"), text).score <= 1.0


@pytest.mark.parametrize("piece", ["1,000", "1/", "1,", "1.", "-", "1/1", "$1,", "####", "e1"])
def test_number_takes_linear_time(piece):
    began = time.monotonic()
    NumberChecker().check(problem("1"), piece * 50_000)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        (r"\boxed{1} \boxed{\frac{1}{2}}", ["1", r"\frac{1}{2}"]),
        (r"\boxed{\{1, 2\}}", [r"\{1, 2\}"]),
        (r"\fbox{a} \boxed {b}", ["a", "b"]),
        (r"\boxed{\boxed{4}}", ["{4}"]),
        (r"\boxed{1 \boxed{4} \boxed{5", [None]),
        (r"} \boxed{2", [None]),
        (r"\\boxed{3}", []),
        (r"\boxed{}", [""]),
    ],
)
def test_boxes_have_balanced_braces(text, contents):
    assert [f.content for f in boxed(text)] == contents


@pytest.mark.parametrize(
    ("answer", "text", "score", "reason"),
    [
        (r"\frac{1}{2}", r"so \boxed{0.5}", 1.0, "correct"),
        ("1/2", r"\boxed{\frac{2}{4}}", 1.0, "correct"),
        ("1/2", r"\boxed{\dfrac12}", 1.0, "correct"),
        (r"\boxed{x^2+2x+1}", r"\boxed{(x+1)^2}", 1.0, "correct"),
        ("x^2+2x+1", r"\boxed{(x+1)^2+1}", 0.0, "wrong"),
        (r"2\sqrt{2}", r"\boxed{\sqrt 8}", 1.0, "correct"),
        (r"50\%", r"\boxed{0.5}", 1.0, "correct"),
        (r"90^\circ", r"\boxed{90}", 1.0, "correct"),
        ("12,345", r"\boxed{12345}", 1.0, "correct"),
        ("12", r"\boxed{1,2}", 0.0, "wrong"),
        ("(1,2)", r"\boxed{(1, 2)}", 1.0, "correct"),
        (r"\{1,2\}", r"\boxed{\{2,1\}}", 1.0, "correct"),
        (r"\text{Tuesday}", r"\boxed{Tuesday}", 1.0, "correct"),
        ("3", r"\boxed{x=3}", 1.0, "correct"),
        ("72", "The answer is $72$ apples.", 1.0, "correct"),
        ("72", "Final answer: 72", 1.0, "correct"),
        ("72", r"The answer is \boxed{72}.", 1.0, "correct"),
        ("42", "it must be 42", 0.0, "no_answer"),
        ("42", "", 0.0, "no_answer"),
        ("42", r"\boxed{}", 0.0, "no_answer"),
        ("42", r"\boxed{42", 0.0, "malformed"),
        ("42", r"\boxed{17}, or \boxed{42}", 1.0, "several_answers"),
        ("42", r"\boxed{42}, or \boxed{17}", 0.0, "wrong"),
        ("42", r"First \boxed{42}, yet in the end the answer is 17.", 0.0, "wrong"),
        ("42", r"\boxed{" + "9" * 900 + "}", 0.0, "wrong"),
        ("42", r"\boxed{" + "9" * 90_000 + "}", 0.0, "malformed"),
        ("42", "\\boxed{\uff14\uff12}", 0.0, "wrong"),
        ("x", "\\boxed{\u0445}", 0.0, "wrong"),  # a Cyrillic letter
        ("42", r"\boxed{__import__('os')._exit(0)}", 0.0, "wrong"),
        ("2", r"\boxed{" + r"\frac{1}{" * 98 + "2" + "}" * 98 + "}", 1.0, "correct"),
    ],
)
def test_math(answer, text, score, reason):
    found = MathChecker(seconds=30.0).check(problem(answer), text)
    assert (found.score, found.reason) == (score, reason)


def test_math_stops_what_would_never_end_and_goes_on():
    tower = r"\boxed{9^{9^{9^{9^{9}}}}}"
    began = time.monotonic()
    assert MathChecker(seconds=0.5).check(problem("5"), tower).reason == "timeout"
    assert time.monotonic() - began < 20
    assert MathChecker().check(problem(r"\sqrt{4}"), r"\boxed{2}").score == 1.0


def test_math_works_outside_the_main_thread():
    assert threading.current_thread() is threading.main_thread()
    with ThreadPoolExecutor(2) as pool:
        texts = [rf"\boxed{{\frac{{{n}}}{{{2 * n}}}}}" for n in range(1, 9)]
        found = pool.map(lambda t: MathChecker().check(problem("0.5"), t).score, texts)
        assert list(found) == [1.0] * 8


def test_math_needs_an_answer():
    with pytest.raises(DataError, match="empty"):
        MathChecker().check(problem(" $ $ "), r"\boxed{1}")


@given(st.lists(st.sampled_from(["\\boxed{", "{", "}", "\\}", "$", "#### ", "1", "a", "\n"])))
def test_boxes_are_total(pieces):
    text = "".join(pieces)
    for found in boxed(text):
        assert text.startswith("\\boxed{", found.position)
    assert (boxed(text) == []) == ("\\boxed{" not in text)


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * 30_000 + "}" * 30_000,
        r"\boxed{" * 30_000,
        r"\boxed{1}" * 30_000,
        "answer is " + r"\(" * 50_000,
        "answer is $x\n" * 20_000,
        "#### \n" * 30_000,
    ],
)
def test_looking_for_answers_takes_linear_time(text):
    began = time.monotonic()
    assert MathChecker().check(problem("5"), text).score == 0.0
    assert time.monotonic() - began < 5


def test_exact_takes_linear_time():
    began = time.monotonic()
    accents = "a" + "\u0315\u0300\u0327" * 100_000
    assert ExactChecker().check(problem("a"), accents).reason == "wrong"
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "checker",
    [NumberChecker(marker="A:"), NumberChecker(), MathChecker(markers=("A:",), seconds=30.0)],
)
def test_agreement_with_the_labels_of_real_solutions(checker):
    """GSM8K: 814 questions, the solutions of four models, marked right or wrong by its grader."""
    if not SOLUTIONS.is_file():
        pytest.skip("../shared/data/gsm8k is not beside this checkout")
    with gzip.open(SOLUTIONS, "rt") as lines:
        rows = [json.loads(line) for line in lines][:: 1 if checker.kind == "number" else 8]
    agreed = []
    for row in rows:
        asked = problem(row["ground_truth"].rpartition("A:")[2].strip(), row["question"])
        for marked in (v for v in row.values() if isinstance(v, dict)):
            right = checker.check(asked, marked["solution"]).score == 1.0
            agreed.append(right == marked["is_correct"])
    assert len(agreed) == 4 * len(rows) > 400
    # All 3,256 agree; another version of math-verify may read one otherwise.
    assert sum(agreed) >= 0.995 * len(agreed)
