"""Numbers worked out by hand in the comments."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scripted import Scripted, prefers, shown

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.judges.pairwise import (
    Pair,
    PairwiseJudge,
    PairwiseSettings,
    RationaleSettings,
    around_half,
    count_states,
)
from fairlead.records import Prompt

PROMPT = Prompt.of("Name a colour.")
PAIR = Pair(PROMPT, "blue", "a stone")


def judge(script, **settings) -> PairwiseJudge:
    return PairwiseJudge([Scripted(script)], PairwiseSettings(**settings), seed=Seed(5))


def by_reply(first: str, second: str) -> float:
    """0.9 for blue in the first place, 0.3 for it in the second: the first place has 0.2 more."""
    return 0.9 if first == "blue" else 0.7


def test_label_is_the_mean_of_both_orders():
    (outcome,) = judge(prefers(by_reply)).compare([PAIR])
    # (p(first place | blue first) + p(second place | blue second)) / 2 = (0.9 + 0.3) / 2
    assert outcome.label == pytest.approx(0.6, abs=1e-15)
    assert outcome.places == (0.9, 0.7)
    assert outcome.first_place == pytest.approx(0.8)
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (200, 2)
    assert outcome.state == "scored" and outcome.opinions[0].flips


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_swapping_the_replies_gives_exactly_the_complement(a: float, b: float, c: float, d: float):
    one = prefers(lambda first, _: a if first == "x" else b)
    two = prefers(lambda first, _: c if first == "x" else d)
    both = PairwiseJudge([Scripted(one, "one"), Scripted(two, "two")], seed=Seed(0))
    pair = Pair(PROMPT, "x", "y")
    there, back = both.compare([pair, pair.swapped])
    assert there.label == 1 - back.label and back.label == 1 - there.label


@given(st.floats(-0.5, 0.5))
def test_opposite_distances_from_one_half_add_up_to_one(distance: float):
    assert around_half(distance) + around_half(-distance) == 1
    assert around_half(-distance) == 1 - around_half(distance)


def test_both_orders_show_the_same_texts_in_different_places():
    scripted = Scripted(prefers(by_reply))
    PairwiseJudge([scripted], seed=Seed(5)).compare([PAIR])
    one, other = map(shown, scripted.asked)
    assert one == {"request": "Name a colour.", "reply A": "blue", "reply B": "a stone"}
    assert other == {"request": "Name a colour.", "reply A": "a stone", "reply B": "blue"}
    assert {q.options for q in scripted.asked} == {("A", "B")}
    assert [q.prompt.messages[-1].content.splitlines()[-1] for q in scripted.asked] == [
        "Answer with A or B alone."
    ] * 2


def test_the_question_of_the_pair_is_asked():
    scripted = Scripted(prefers(by_reply))
    asked = Pair(PROMPT, "blue", "red", question="Which reply is the more honest one?")
    PairwiseJudge([scripted], seed=Seed(5)).compare([asked])
    text = scripted.asked[0].prompt.messages[0].content
    assert "Which reply is the more honest one?" in text and "serves the user" not in text


def test_rationales_come_first_and_probabilities_behind_them_are_clamped():
    scripted = Scripted(prefers(lambda first, _: 0.99 if first == "blue" else 0.45))
    reasoned = PairwiseSettings(rationale=RationaleSettings())
    (outcome,) = PairwiseJudge([scripted], reasoned, seed=Seed(5)).compare([PAIR])
    # 0.99 is clamped to 0.6, 0.45 stays: (0.6 + 1 - 0.45) / 2
    assert outcome.label == pytest.approx(0.575)
    assert outcome.places == (0.6, 0.45)
    thinking, concluding = scripted.asked[:2], scripted.asked[2:]
    assert [len(q.options) for q in scripted.asked] == [0, 0, 2, 2]
    assert [m.role for m in concluding[0].prompt.messages] == ["user", "assistant", "user"]
    assert concluding[0].prompt.messages[1].content == "I weigh them."
    assert concluding[0].prompt.messages[0] == thinking[0].prompt.messages[0]
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (2 * 150, 2 * 21)
    assert outcome.opinions[0].orders[0].rationales == ("I weigh them.",)


def test_several_rationales_are_averaged_in_each_order():
    def script(question: Question) -> Answer:
        if not question.options:
            return Answer(text=f"thought {question.sample}")
        said = question.prompt.messages[1].content
        first = shown(question)["reply A"] == "blue"
        p = {("thought 0", True): 0.5, ("thought 1", True): 0.58}.get((said, first), 0.44)
        return Answer(probabilities=(p, 1 - p))

    settings = RationaleSettings(samples=2, temperature=1.0)
    (outcome,) = judge(script, rationale=settings).compare([PAIR])
    # blue first: (0.50 + 0.58) / 2 = 0.54; blue second: 0.44 for the first place
    assert outcome.label == pytest.approx((0.54 + 1 - 0.44) / 2)


def test_repeats_are_other_samples():
    scripted = Scripted(prefers(by_reply))
    settings = PairwiseSettings(rationale=RationaleSettings(samples=2, temperature=1.0))
    PairwiseJudge([scripted], settings, seed=Seed(5)).compare(
        [PAIR, Pair(PROMPT, "blue", "a stone", repeat=1)]
    )
    assert [q.sample for q in scripted.asked if not q.options] == [0, 1, 0, 1, 2, 3, 2, 3]


def test_several_judges_are_averaged_and_their_distance_is_kept():
    judges = [
        Scripted(prefers(lambda first, _: 0.9 if first == "blue" else 0.1), "one"),
        Scripted(prefers(lambda first, _: 0.6 if first == "blue" else 0.4), "two"),
    ]
    (outcome,) = PairwiseJudge(judges, seed=Seed(5)).compare([PAIR])
    assert outcome.label == pytest.approx(0.75)
    assert [opinion.label for opinion in outcome.opinions] == pytest.approx([0.9, 0.6])
    assert outcome.disagreement == pytest.approx(0.3)
    assert PairwiseJudge(judges, seed=Seed(5)).name == "one + two"


@pytest.mark.parametrize(
    ("settings", "detail"),
    [
        ({"least_margin": 0.11}, "margin"),
        ({"least_mass": 0.95}, "mass"),
        ({"abstain_on_flip": True}, "order"),
    ],
)
def test_abstentions_have_a_reason_and_no_label(settings, detail):
    (outcome,) = judge(prefers(by_reply), **settings).compare([PAIR])  # label 0.6, flips
    assert (outcome.state, outcome.label) == ("abstained", None)
    assert outcome.detail.startswith(detail)
    assert outcome.places == (0.9, 0.7)


def test_at_the_border_there_is_no_abstention():
    settled = prefers(lambda first, _: 0.75 if first == "blue" else 0.5)  # label 0.625, no flip
    (outcome,) = judge(settled, least_margin=0.125, least_mass=0.9, abstain_on_flip=True).compare(
        [PAIR]
    )
    assert outcome.label == 0.625


@pytest.mark.parametrize("state", ["judge_refused", "parse_fail", "error", "over_budget"])
def test_one_order_alone_makes_no_label(state):
    def script(question: Question) -> Answer:
        if shown(question)["reply A"] == "a stone":
            return Answer(state=state, detail="no", prompt_tokens=7)
        return Answer(probabilities=(0.9, 0.1), prompt_tokens=5)

    (outcome,) = judge(script).compare([PAIR])
    assert (outcome.label, outcome.state, outcome.detail) == (None, state, "no")
    assert [order.first_place for order in outcome.opinions[0].orders] == [0.9, None]
    assert outcome.prompt_tokens == 12 and outcome.places is None


def test_a_rationale_that_was_cut_off_decides_nothing():
    def script(question: Question) -> Answer:
        assert not question.options
        return Answer(state="truncated", text="Well,", completion_tokens=256)

    (outcome,) = judge(script, rationale=RationaleSettings()).compare([PAIR])
    assert (outcome.label, outcome.state, outcome.completion_tokens) == (None, "truncated", 512)


def test_judges_that_decide_are_enough_up_to_the_quorum():
    judges = [
        Scripted(prefers(by_reply), "one"),
        Scripted(lambda _: Answer(state="judge_refused"), "two"),
    ]
    (one,) = PairwiseJudge(judges, seed=Seed(5)).compare([PAIR])
    (both,) = PairwiseJudge(judges, PairwiseSettings(quorum=2), seed=Seed(5)).compare([PAIR])
    assert one.label == pytest.approx(0.6) and one.disagreement is None
    assert (both.label, both.state) == (None, "judge_refused")


def test_empty_replies_are_not_asked_about_and_states_are_counted():
    scripted = Scripted(prefers(by_reply))
    pairs = [PAIR, Pair(PROMPT, "blue", " \n"), Pair(PROMPT, "", "blue"), PAIR]
    outcomes = PairwiseJudge([scripted], seed=Seed(5)).compare(pairs)
    assert [o.label is None for o in outcomes] == [False, True, True, False]
    assert len(scripted.asked) == 4
    assert count_states(outcomes) == {"scored": 2, "target_refused": 2}


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValidationError, match="range around one half"):
        RationaleSettings(clamp=(0.3, 0.6))
    with pytest.raises(ValidationError, match="same one"):
        RationaleSettings(samples=3)
    with pytest.raises(ConfigError, match="different names"):
        PairwiseJudge([Scripted(prefers(by_reply))] * 2, seed=Seed(0))
    with pytest.raises(ConfigError, match="at least 2"):
        judge(prefers(by_reply), quorum=2)
    assert math.isclose(sum(RationaleSettings().clamp), 1)
