"""Kinds of work: which answers fit, what is stored, and the sentences for those that do not."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.feedback.errors import InvalidAnswer
from fairlead.feedback.work import KINDS, Subject, work_of

TWO = Subject((7, 9))
FOUR = Subject((1, 2, 3, 4))
ONE = Subject((5,))
STEPS = Subject((5,), ("a", "b", "c", "d"))
NONE = Subject(())
PRINCIPLES = [{"name": "kind", "text": "Be kind."}]
TALK = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


FITTING = [
    (
        {"kind": "pairwise"},
        TWO,
        {"preferred": 7},
        {"preferred": 7, "strength": None, "both_bad": False},
    ),
    (
        {"kind": "pairwise"},
        TWO,
        {"preferred": None},
        {"preferred": None, "strength": None, "both_bad": False},
    ),
    (
        {"kind": "pairwise", "strengths": ["a", "b"]},
        TWO,
        {"preferred": "9", "strength": "2"},
        {"preferred": 9, "strength": 2, "both_bad": False},
    ),
    (
        {"kind": "pairwise", "tie": False, "both_bad": True},
        TWO,
        {"preferred": None, "both_bad": True},
        {"preferred": None, "strength": None, "both_bad": True},
    ),
    ({"kind": "ranking"}, FOUR, {"tiers": [[4], [3, 1], [2]]}, {"tiers": [[4], [1, 3], [2]]}),
    ({"kind": "ranking", "partial": True}, FOUR, {"tiers": [[4], [2]]}, {"tiers": [[4], [2]]}),
    ({"kind": "likert"}, ONE, {"score": 7}, {"score": 7}),
    (
        {"kind": "ratings"},
        ONE,
        {"scores": {"honest": 5, "helpful": 1, "harmless": 2}},
        {"scores": {"helpful": 1, "harmless": 2, "honest": 5}},
    ),
    (
        {"kind": "ratings", "dimensions": [{"name": "fun"}], "not_applicable": True},
        ONE,
        {"scores": {"fun": None}},
        {"scores": {"fun": None}},
    ),
    ({"kind": "binary"}, ONE, {"good": False}, {"good": False}),
    (
        {"kind": "steps"},
        STEPS,
        {"labels": [1, 0, -1]},
        {"labels": [1, 0, -1, None], "unsure": [], "rewrite": None, "finish": "found_error"},
    ),
    (
        {"kind": "steps"},
        STEPS,
        {"labels": [1, 1, 1, 0], "unsure": [3, 3]},
        {"labels": [1, 1, 1, 0], "unsure": [3], "rewrite": None, "finish": "solution"},
    ),
    (
        {"kind": "steps", "stop_at_first_error": False, "rewrite": True},
        STEPS,
        {"labels": [1, -1, 1, -1], "rewrite": {"step": 1, "text": "b'"}},
        {
            "labels": [1, -1, 1, -1],
            "unsure": [],
            "rewrite": {"step": 1, "text": "b'"},
            "finish": "found_error",
        },
    ),
    (
        {"kind": "steps"},
        STEPS,
        {"labels": [1], "finish": "give_up"},
        {"labels": [1, None, None, None], "unsure": [], "rewrite": None, "finish": "give_up"},
    ),
    ({"kind": "demonstration"}, NONE, {"text": "hello"}, {"text": "hello"}),
    (
        {"kind": "critique", "principles": PRINCIPLES},
        ONE,
        {"principle": "kind", "critique": "rude"},
        {"principle": "kind", "violates": None, "critique": "rude", "revision": None},
    ),
    (
        {"kind": "redteam", "tags": ["fraud"]},
        NONE,
        {"turns": TALK, "success": 2, "tags": ["fraud"]},
        {"turns": TALK, "goal": "", "success": 2, "tags": ["fraud"]},
    ),
]

NOT_FITTING = [
    ({"kind": "pairwise"}, TWO, {"preferred": 8}, "preferred"),
    ({"kind": "pairwise"}, TWO, {}, "preferred"),
    ({"kind": "pairwise"}, TWO, "left", "answer"),
    ({"kind": "pairwise"}, TWO, {"preferred": 7, "position": 0}, "position"),
    ({"kind": "pairwise", "tie": False}, TWO, {"preferred": None}, "preferred"),
    ({"kind": "pairwise"}, TWO, {"preferred": 7, "strength": 1}, "strength"),
    ({"kind": "pairwise", "strengths": ["a"]}, TWO, {"preferred": 7}, "strength"),
    ({"kind": "pairwise", "strengths": ["a"]}, TWO, {"preferred": 7, "strength": 2}, "strength"),
    ({"kind": "pairwise", "strengths": ["a"]}, TWO, {"preferred": None, "strength": 1}, "strength"),
    ({"kind": "pairwise"}, TWO, {"preferred": None, "both_bad": True}, "both_bad"),
    ({"kind": "pairwise", "both_bad": True}, TWO, {"preferred": 7, "both_bad": True}, "both_bad"),
    ({"kind": "ranking"}, FOUR, {"tiers": [[1], [2], [3]]}, "tiers"),
    ({"kind": "ranking"}, FOUR, {"tiers": [[1], [2], [3], [4], [1]]}, "tiers"),
    ({"kind": "ranking"}, FOUR, {"tiers": [[1], [2], [3], [8]]}, "tiers"),
    ({"kind": "ranking"}, FOUR, {"tiers": []}, "tiers"),
    ({"kind": "ranking", "partial": True}, FOUR, {"tiers": [[1], []]}, "tiers"),
    ({"kind": "ranking", "partial": True}, FOUR, {"tiers": [[1]]}, "tiers"),
    ({"kind": "ranking", "tie": False}, FOUR, {"tiers": [[1, 2], [3], [4]]}, "tiers"),
    ({"kind": "likert"}, ONE, {"score": 8}, "score"),
    ({"kind": "likert"}, ONE, {"score": 0}, "score"),
    ({"kind": "ratings"}, ONE, {"scores": {"helpful": 1, "harmless": 2}}, "honest"),
    ({"kind": "ratings"}, ONE, {"scores": {"helpful": 1, "harmless": 2, "honest": None}}, "honest"),
    (
        {"kind": "ratings", "dimensions": [{"name": "fun"}]},
        ONE,
        {"scores": {"fun": 1, "dry": 1}},
        "dry",
    ),
    ({"kind": "binary"}, ONE, {"good": None}, "good"),
    ({"kind": "steps"}, STEPS, {"labels": [1, 1]}, "labels"),
    ({"kind": "steps"}, STEPS, {"labels": [1, -1, 1]}, "labels"),
    ({"kind": "steps"}, STEPS, {"labels": [1, 1, 1, 1, 1]}, "labels"),
    ({"kind": "steps"}, STEPS, {"labels": [1, None, 1, 1]}, "labels"),
    ({"kind": "steps"}, STEPS, {"labels": [1, 1, 1, 1], "finish": "found_error"}, "finish"),
    ({"kind": "steps"}, STEPS, {"labels": [1, 1, 1, 1], "unsure": [4]}, "unsure"),
    ({"kind": "steps", "unsure": False}, STEPS, {"labels": [1, 1, 1, 1], "unsure": [1]}, "unsure"),
    ({"kind": "steps"}, STEPS, {"labels": [-1], "rewrite": {"step": 0, "text": "x"}}, "rewrite"),
    ({"kind": "demonstration"}, NONE, {"text": "   "}, "text"),
    ({"kind": "demonstration", "max_characters": 3}, NONE, {"text": "long"}, "text"),
    (
        {"kind": "critique", "principles": PRINCIPLES},
        ONE,
        {"principle": "odd", "critique": "x"},
        "principle",
    ),
    ({"kind": "critique", "principles": PRINCIPLES}, ONE, {"principle": "kind"}, "critique"),
    (
        {"kind": "critique", "principles": PRINCIPLES, "revision": "required"},
        ONE,
        {"principle": "kind", "critique": "x"},
        "revision",
    ),
    ({"kind": "redteam"}, NONE, {"turns": TALK[:1], "success": 1}, "turns"),
    ({"kind": "redteam"}, NONE, {"turns": TALK[::-1], "success": 1}, "turns"),
    ({"kind": "redteam"}, NONE, {"turns": TALK, "success": 6}, "success"),
    ({"kind": "redteam"}, NONE, {"turns": TALK, "success": 1, "tags": ["x"]}, "tags"),
    ({"kind": "redteam", "max_turns": 2}, NONE, {"turns": TALK * 2, "success": 1}, "turns"),
    ({"kind": "demonstration"}, NONE, {"text": "nul \x00"}, "text"),
    ({"kind": "demonstration"}, NONE, {"text": "half \ud83d"}, "text"),
]


@pytest.mark.parametrize(("settings", "subject", "value", "stored"), FITTING)
def test_an_answer_that_fits_has_one_form(settings, subject, value, stored):
    work = work_of(settings)
    assert work.check(value, subject) == stored
    assert work.check(stored, subject) == stored
    assert work_of(work.model_dump(mode="json")) == work


@pytest.mark.parametrize(("settings", "subject", "value", "field"), NOT_FITTING)
def test_an_answer_that_does_not_fit_names_the_field(settings, subject, value, field):
    with pytest.raises(InvalidAnswer) as error:
        work_of(settings).check(value, subject)
    assert field in {name.split(".")[0] for name, _ in error.value.problems}
    assert all(len(sentence) > 10 for _, sentence in error.value.problems)


def test_every_kind_is_tried_here():
    assert {settings["kind"] for settings, *_ in FITTING} == set(KINDS)
    assert {settings["kind"] for settings, *_ in NOT_FITTING} == set(KINDS)


def test_a_reason_can_be_asked_for():
    work = work_of({"kind": "binary", "reason": "required"})
    with pytest.raises(InvalidAnswer) as error:
        work.check({"good": True}, ONE, reason="  ")
    assert error.value.problems == (("reason", "say in a few words why"),)
    assert work.check({"good": True}, ONE, reason="ok") == {"good": True}


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "guess"},
        {},
        {"kind": "likert", "levels": 1},
        {"kind": "critique", "principles": []},
        {"kind": "ratings", "dimensions": [{"name": "a"}, {"name": "a"}]},
        {"kind": "pairwise", "ties": True},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(DataError, match="not a kind of work"):
        work_of(settings)


@given(st.permutations([0, 1, 2, 3, 4]), st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_renaming_there_and_back_is_nothing(names, ranks):
    """Ids to positions and back, for any ranking with ties."""
    work = work_of({"kind": "ranking"})
    tiers = [[i for i in range(5) if ranks[i] == rank] for rank in sorted(set(ranks))]
    value = work.check({"tiers": tiers}, Subject((0, 1, 2, 3, 4)))
    there = work.renamed(value, lambda one: names[one])
    assert work.renamed(there, names.index) == value
    assert [len(tier) for tier in there["tiers"]] == [len(tier) for tier in tiers]


def test_renaming_pairs_keeps_ties():
    work = work_of({"kind": "pairwise"})
    assert work.renamed({"preferred": 9, "strength": 1}, {7: 0, 9: 1}.__getitem__) == {
        "preferred": 1,
        "strength": 1,
    }
    assert work.renamed({"preferred": None}, {}.__getitem__) == {"preferred": None}


@pytest.mark.parametrize(
    ("kind", "accepted", "value", "right"),
    [
        ("pairwise", [{"preferred": 7}], {"preferred": 7, "strength": 2}, True),
        ("pairwise", [{"preferred": 7}], {"preferred": None, "strength": None}, False),
        ("pairwise", [{"preferred": 7}, {"preferred": None}], {"preferred": None}, True),
        ("likert", [{"score": 6}, {"score": 7}], {"score": 6}, True),
        ("ratings", [{"scores": {"honest": 1}}], {"scores": {"honest": 1, "fun": 4}}, True),
        ("ratings", [{"scores": {"honest": 1}}], {"scores": {"honest": 2, "fun": 4}}, False),
        ("steps", [{"labels": [1, None, -1]}], {"labels": [1, 0, -1, None]}, True),
        ("steps", [{"labels": [1, None, -1]}], {"labels": [1, 0, 1, 1]}, False),
        ("ranking", [{"tiers": [[1], [2, 3]]}], {"tiers": [[1], [2, 3]]}, True),
        ("ranking", [{"tiers": [[1], [2, 3]]}], {"tiers": [[1], [2], [3]]}, False),
    ],
)
def test_accepted_answers_say_only_what_they_say(kind, accepted, value, right):
    assert work_of({"kind": kind}).accepts(accepted, value) is right


def test_free_text_cannot_be_gold():
    work = work_of({"kind": "demonstration"})
    assert "free text" in work.gold_problem({"text": "x"}, NONE)
    assert work_of({"kind": "binary"}).gold_problem({"good": True}, ONE) == ""
    assert "expected" in work_of({"kind": "binary"}).gold_problem({"god": True}, ONE)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=8,
    )
)
def test_any_json_is_either_an_answer_or_explained(value):
    for kind in KINDS:
        settings = {"kind": kind, **({"principles": PRINCIPLES} if kind == "critique" else {})}
        with suppress(InvalidAnswer):
            stored = work_of(settings).check(value, STEPS if kind == "steps" else TWO)
            assert work_of(settings).check(stored, STEPS if kind == "steps" else TWO) == stored
