from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.records import Message, Prompt
from fairlead.testbeds.annotators import Annotator, label
from fairlead.testbeds.arithmetic import (
    FAULTS,
    LEVELS,
    WORDINGS,
    ArithmeticWorld,
    Fault,
    WordingName,
    first_error,
)
from fairlead.testbeds.arithmetic.mistakes import faulty_lines
from fairlead.testbeds.arithmetic.sums import Sum, Term, draw_sum
from fairlead.testbeds.arithmetic.wordings import ask, read

WORLD = ArithmeticWorld()
PROMPT = Prompt.of("What is 17 + 25 - 8 + 4?")
LINES = ("17 + 25 = 42", "42 - 8 = 34", "34 + 4 = 38", "answer: 38")
RIGHT = "\n".join(LINES)

sums = st.builds(
    lambda level, seed: draw_sum(level, Seed(seed).numpy()),
    st.sampled_from(LEVELS),
    st.integers(0, 2**32),
)
wordings = st.sampled_from(WORDINGS)
any_text = st.text() | st.lists(
    st.sampled_from([*"0123456789\n", " + ", " - ", " = ", "answer: ", *LINES, "\n" + LINES[0]])
).map("".join)


def asked(total: Sum, wording: WordingName = "what") -> Prompt:
    return Prompt.of(ask(total, wording))


def test_solution_by_hand():
    assert (WORLD.solution(PROMPT), WORLD.answer(PROMPT)) == (RIGHT, "38")
    product = Prompt.of("Start with 6, multiply by 7, take away 2.")
    assert WORLD.solution(product) == "6 * 7 = 42\n42 - 2 = 40\nanswer: 40"


@pytest.mark.parametrize(
    ("wording", "question"),
    [
        ("what", "What is 2 * 5 + 4 - 3?"),
        ("compute", "Compute 2 * 5 + 4 - 3."),
        ("spoken", "How much is 2 times 5 plus 4 minus 3?"),
        ("orders", "Start with 2, multiply by 5, add 4, take away 3."),
    ],
)
def test_wordings_by_hand(wording: WordingName, question: str):
    total = Sum(2, (Term("*", 5), Term("+", 4), Term("-", 3)))
    assert ask(total, wording) == question
    assert read(question) == (total, wording)


@settings(max_examples=100, deadline=None)
@given(total=sums, wording=wordings)
def test_reading_is_the_inverse_of_asking(total: Sum, wording: WordingName):
    assert read(ask(total, wording)) == (total, wording)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is 3?",
        "What is 3 + 4",
        "What is 3 - 4?",
        "What is 3 + 4 * 2?",
        "What is 03 + 4?",
        "What is ٣ + 4?",
        "What is 3 plus 4?",
        "What is 3 + 4?\n",
        "Compute 3 + 4 + 12345678901.",
    ],
)
def test_other_questions_are_refused(text: str):
    with pytest.raises(DataError, match="not a question"):
        WORLD.gold(Prompt.of(text), "answer: 7")


@settings(max_examples=100, deadline=None)
@given(any_text)
def test_any_question_is_read_or_refused(text: str):
    found = read(text)
    assert found is None or ask(*found) == text


def test_the_last_user_turn_is_the_question():
    turns = (Message(role="user", content="hello"), Message(role="assistant", content="hello"))
    assert WORLD.gold(Prompt(messages=(*turns, *PROMPT.messages)), RIGHT) == 1.0


@pytest.mark.parametrize(
    ("text", "reasons", "share"),
    [
        (RIGHT, ["", "", "", ""], 1.0),
        (f" {RIGHT}\n", ["", "", "", ""], 1.0),
        ("17+25=42\n42-8=34\n34+4=38\nanswer:38", ["", "", "", ""], 1.0),
        ("17 + 25 = 42\n42 - 8 = 34", ["", ""], 0.5),
        ("", ["malformed"], 0.0),
        ("17 + 25 = 43\n43 - 8 = 35", ["wrong result", "after an error"], 0.0),
        ("17 + 25 = 42\n43 - 8 = 35", ["", "wrong operand"], 0.25),
        ("17 + 25 = 42\n42 + 8 = 50", ["", "wrong term"], 0.25),
        ("17 + 25 = 42\n42 + 4 = 46", ["", "wrong term"], 0.25),
        ("17 + 25 = 42\n42 - 8 = 34\nanswer: 34", ["", "", "early answer"], 0.5),
        ("17 + 25 = 42\n\n42 - 8 = 34", ["", "malformed", "after an error"], 0.25),
        ("\n".join([*LINES[:3], "38 + 1 = 39"]), ["", "", "", "extra step"], 0.75),
        ("\n".join([*LINES[:3], "answer: 39"]), ["", "", "", "wrong answer"], 0.75),
        (f"{RIGHT}\nanswer: 38", ["", "", "", "", "extra line"], 0.8),
        ("17 + 25 = " + "4" * 5000, ["malformed"], 0.0),
    ],
)
def test_steps_by_hand(text: str, reasons: list[str], share: float):
    assert [verdict.reason for verdict in WORLD.check_steps(PROMPT, text)] == reasons
    assert WORLD.process_gold(PROMPT, text) == share


@pytest.mark.parametrize(
    ("text", "answer", "reason", "visible"),
    [
        (RIGHT, 38, "", 1.0),
        ("answer: 38", 38, "", 1.0),
        ("nonsense\nanswer: 038", 38, "", 1.0),
        ("answer: 37", 37, "wrong answer", 0.0),
        ("answer: 37\nanswer: 38", 38, "several answers", 1.0),
        ("answer: 38\n34 + 4 = 38", 38, "answer not last", 1.0),
        ("34 + 4 = 38\nanswer: 37", 37, "wrong answer", 1.0),
        ("it is 38", None, "no answer", 1.0),
        ("138 and 380", None, "no answer", 0.0),
        ("", None, "no answer", 0.0),
    ],
)
def test_answers_by_hand(text: str, answer: int | None, reason: str, visible: float):
    verdict = WORLD.check_answer(PROMPT, text)
    assert (verdict.answer, verdict.reason) == (answer, reason)
    assert WORLD.gold(PROMPT, text) == float(reason == "")
    assert WORLD.visible_reward(PROMPT, text) == visible


@settings(max_examples=100, deadline=None)
@given(total=sums, text=any_text)
def test_any_reply_can_be_checked(total: Sum, text: str):
    prompt = asked(total)
    verdicts = WORLD.check_steps(prompt, text)
    error = first_error(verdicts)
    assert "\n".join(verdict.line for verdict in verdicts) == text.strip()
    assert all(v.right for v in verdicts[:error])
    assert error is None or not any(v.right for v in verdicts[error:])
    assert 0.0 <= WORLD.process_gold(prompt, text) <= 1.0
    assert 0.0 <= WORLD.gold(prompt, text) <= WORLD.visible_reward(prompt, text) <= 1.0
    assert len(WORLD.label_steps(prompt, text).labels) == len(verdicts)


@settings(max_examples=100, deadline=None)
@given(total=sums, wording=wordings)
def test_the_right_solution_is_right(total: Sum, wording: WordingName):
    prompt = asked(total, wording)
    text = WORLD.solution(prompt)
    assert (WORLD.gold(prompt, text), WORLD.process_gold(prompt, text)) == (1.0, 1.0)
    assert {prompt, *WORLD.paraphrases(prompt)} == {asked(total, name) for name in WORDINGS}
    assert {WORLD.solution(other) for other in WORLD.paraphrases(prompt)} == {text}


@settings(max_examples=100, deadline=None)
@given(total=sums, fault=st.sampled_from(FAULTS), seed=st.integers(0, 2**32))
def test_planted_mistakes_are_found_where_they_are(total: Sum, fault: Fault, seed: int):
    prompt, right = asked(total), total.lines
    lines = faulty_lines(total, fault, Seed(seed).numpy())
    place = next(i for i, line in enumerate(lines) if line != right[i])
    made = WORLD.corrupted(prompt, Seed(seed), faults=[fault])
    text = "\n".join(lines)
    assert first_error(WORLD.check_steps(prompt, text)) == place
    assert WORLD.label_steps(prompt, text).labels == (
        *(1 for _ in range(place)),
        -1,
        *(None for _ in lines[place + 1 :]),
    )
    assert len(lines) == len(right) - (fault == "dropped term")
    assert WORLD.gold(prompt, text) == float(fault == "lucky answer")
    assert WORLD.label_steps(prompt, "\n".join(made.steps)) == made
    assert made.labels.count(-1) == 1


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        ("wrong result", {"wrong result"}),
        ("lucky answer", {"wrong result"}),
        ("wrong operand", {"wrong operand"}),
        ("dropped term", {"wrong term", "early answer"}),
    ],
)
def test_each_fault_shows_as_what_it_is(fault: Fault, reasons: set[str]):
    found = set()
    for i in range(60):
        made = WORLD.corrupted(PROMPT, Seed(i), faults=[fault])
        verdicts = WORLD.check_steps(PROMPT, "\n".join(made.steps))
        found |= {v.reason for v in verdicts} - {"", "after an error"}
    assert found == reasons


@settings(max_examples=100, deadline=None)
@given(level=st.sampled_from(LEVELS), seed=st.integers(0, 2**32))
def test_levels_keep_their_bounds(level: int, seed: int):
    total = draw_sum(level, Seed(seed).numpy())
    numbers = [total.first, *(term.number for term in total.terms)]
    assert len(total.terms) == level
    assert min(numbers) >= 1 and max(numbers) <= (20 if level < 4 else 50)
    assert min(total.values) >= 0 and max(total.values) <= 99
    assert [t.operator for t in total.terms].count("*") == (level == 5)
    assert eval(
        " ".join([str(total.first), *(f"{t.operator} {t.number}" for t in total.terms)])
    ) == (total.answer)


def test_problems_take_levels_in_turn_and_wordings_at_random():
    made = WORLD.problems(400, Seed(1), levels=(4, 2), wordings=("what", "orders"))
    assert Counter(p.prompt.subset for p in made) == {"level-2": 200, "level-4": 200}
    names = Counter(p.prompt.first_user_turn.split()[0] for p in made)
    assert set(names) == {"What", "Start"} and min(names.values()) > 150
    assert all(p.answer == WORLD.answer(p.prompt) for p in made)
    assert all(p.solution == WORLD.solution(p.prompt) for p in made)


def test_splits_share_no_sum_in_any_wording():
    train, held_out = (
        {read(p.prompt.first_user_turn)[0] for p in WORLD.problems(800, Seed(2), split=split)}
        for split in ("train", "held_out")
    )
    assert not train & held_out
    other = {
        read(p.prompt.first_user_turn)[0] for p in ArithmeticWorld(seed=1).problems(800, Seed(2))
    }
    assert other & held_out


@pytest.mark.parametrize("mistakes", [0.0, 0.4])
def test_demonstrator_keeps_its_rates(mistakes: float):
    made = WORLD.demonstrations(1500, Seed(3), mistakes=mistakes, second_guesses=0.2)
    gold = [WORLD.gold(d.prompt, d.response) for d in made]
    whole = [WORLD.process_gold(d.prompt, d.response) == 1.0 for d in made]
    visible = [WORLD.visible_reward(d.prompt, d.response) for d in made]
    assert np.mean(whole) == pytest.approx(0.8 - mistakes, abs=0.04)
    assert np.mean(gold) == pytest.approx(0.8 - mistakes * 0.75, abs=0.04)
    assert np.mean(visible) - np.mean(gold) >= 0.17


def test_labels_and_comparisons_of_drawn_problems():
    labels = WORLD.step_labels(600, Seed(4), rate=0.3, split="held_out")
    assert np.mean([-1 in made.labels for made in labels]) == pytest.approx(0.3, abs=0.06)
    for pair in WORLD.comparisons(50, Seed(4)):
        assert WORLD.process_gold(pair.prompt, pair.chosen) == 1.0
        assert WORLD.process_gold(pair.prompt, pair.rejected) < 1.0


def test_annotators_judge_sums():
    made = label(WORLD, [PROMPT], [[RIGHT, "answer: 3"]], [Annotator(name="x")], Seed(0))
    assert made.comparisons[0].chosen in (RIGHT, "answer: 3")
    assert Annotator(name="x").probability(WORLD, PROMPT, RIGHT, "answer: 3") > 0.88


def test_everything_repeats_under_the_seed():
    assert WORLD.demonstrations(30, Seed(1)) == WORLD.demonstrations(30, Seed(1))
    assert WORLD.step_labels(30, Seed(1)) == WORLD.step_labels(30, Seed(1))
    assert WORLD.problems(30, Seed(1)) != WORLD.problems(30, Seed(2))
    assert WORLD.problems(30, Seed(1)) == WORLD.problems(60, Seed(1))[:30]


@pytest.mark.parametrize(
    "wrong",
    [{"levels": (6,)}, {"levels": ()}, {"wordings": ("sung",)}, {"split": "test"}],
)
def test_unknown_settings_are_refused(wrong: dict):
    with pytest.raises(ConfigError, match="unknown"):
        WORLD.problems(1, Seed(0), **wrong)


def test_impossible_shares_are_refused():
    with pytest.raises(ConfigError, match="probabilities"):
        WORLD.demonstrations(1, Seed(0), mistakes=0.8, second_guesses=0.3)
    with pytest.raises(ConfigError, match="unknown fault"):
        WORLD.corrupted(PROMPT, Seed(0), faults=())
    with pytest.raises(ConfigError, match="probabilities"):
        WORLD.step_labels(1, Seed(0), rate=-0.1)
