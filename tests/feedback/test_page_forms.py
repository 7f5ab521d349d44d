"""From forms to answers and back, for every kind of work; what pages show of hostile text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.unseen import shown
from fairlead.feedback.errors import InvalidAnswer
from fairlead.feedback.web import forms
from fairlead.feedback.web.text import rendered
from fairlead.feedback.work import Subject, work_of

PAIR = Subject((11, 7))
FOUR = Subject((11, 7, 5, 3))
ONE = Subject((11,))
SOLUTION = Subject((11,), ("a", "b", "c"))
NONE = Subject(())
CRITIQUE = {"kind": "critique", "principles": [{"name": "care", "text": "t"}]}
STRENGTHS = {"kind": "pairwise", "strengths": ["slightly", "much"], "both_bad": True}
TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]

ROUND = [
    (STRENGTHS, PAIR, {"preferred": 7, "strength": 2, "both_bad": False}, "B: much"),
    (STRENGTHS, PAIR, {"preferred": None, "strength": None, "both_bad": False}, "a tie"),
    (STRENGTHS, PAIR, {"preferred": None, "strength": None, "both_bad": True}, "both are bad"),
    ({"kind": "ranking"}, FOUR, {"tiers": [[7], [3, 11], [5]]}, "B > A = D > C"),
    ({"kind": "likert"}, ONE, {"score": 3}, "3 of 7"),
    (
        {"kind": "ratings", "not_applicable": True},
        ONE,
        {"scores": {"helpful": 5, "harmless": None, "honest": 1}},
        "helpful 5, harmless -, honest 1",
    ),
    ({"kind": "binary"}, ONE, {"good": False}, "bad"),
    (
        {"kind": "steps", "rewrite": True},
        SOLUTION,
        {
            "labels": [1, -1, None],
            "unsure": [0],
            "rewrite": {"step": 1, "text": "b!"},
            "finish": "found_error",
        },
        "step 2 is wrong",
    ),
    ({"kind": "demonstration"}, NONE, {"text": "so"}, "so"),
    (
        CRITIQUE,
        ONE,
        {"principle": "care", "violates": True, "critique": "rash", "revision": None},
        "care: rash",
    ),
    (
        {"kind": "redteam", "tags": ["fraud"]},
        NONE,
        {"turns": TURNS * 2, "goal": "g", "success": 2, "tags": ["fraud"]},
        "4 turns, success 2 of 5",
    ),
]


@pytest.mark.parametrize(("settings", "subject", "value", "said"), ROUND)
def test_values_survive_the_form(settings, subject, value, said):
    work = work_of(settings)
    letters = dict(zip(subject.candidates, forms.LETTERS, strict=False))
    filled = forms.fill(work, {**value, "reason": "why"})
    assert filled["reason"] == ["why"]
    assert work.check(forms.read_answer(work, filled, subject), subject) == work.check(
        value, subject
    )
    assert forms.said(work, work.check(value, subject), letters) == said


@pytest.mark.parametrize(("settings", "subject"), [row[:2] for row in ROUND[2:]])
def test_an_untouched_form_is_no_answer(settings, subject):
    work = work_of(settings)
    with pytest.raises(InvalidAnswer):
        work.check(forms.read_answer(work, {}, subject), subject)


@given(st.text(), st.text(), st.text())
def test_no_field_becomes_a_tie_by_mistake(choice, rank, score):
    fields = {"choice": [choice], "rank_11": [rank], "score": [score]}
    value = forms.read(work_of(STRENGTHS), fields, PAIR)
    assert value.get("preferred", 0) is not None or choice in ("tie", "both_bad")


JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inside: st.lists(inside, max_size=3)
)


@pytest.mark.parametrize("settings", [row[0] for row in ROUND])
@given(data=st.data())
def test_any_stored_draft_can_be_shown(settings, data):
    work = work_of(settings)
    names = st.sampled_from(sorted(work.answer.model_fields))
    value = data.draw(st.dictionaries(names, JSON))
    assert all(isinstance(field, list) for field in forms.fill(work, value).values())


def test_line_ends_are_those_that_were_typed():
    assert forms.fields_of([("text", "a\r\nb\n")]) == {"text": ["a\nb\n"]}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("abc\u202edef", '<span class="unseen">[U+202E]</span>'),
        ("zero\u200bwidth", '<span class="unseen">[U+200B]</span>'),
        ("\U000e0041", '<span class="unseen">[U+E0041]</span>'),
        ("\u3164", '<span class="unseen">[U+3164]</span>'),
        ("a\x1bb", '<span class="unseen">[U+001B]</span>'),
        ("a\u200db", '<span class="unseen">[U+200D]</span>'),
        ("<b>&", "&lt;b&gt;&amp;"),
    ],
)
def test_hidden_characters_are_spelt_out(text, seen):
    assert seen in shown(text)
    assert all(one.isprintable() for one in shown(text))


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d🌾 with ❤\ufe0f and 👍🏽",
        "می\u200cخواهم",  # noqa: RUF001
        "क्\u200dष",
        "line\n\ttab é ß 漢字",
    ],
)
def test_joiners_that_do_their_work_stay(text):
    assert "unseen" not in shown(text) and text in shown(text)


@given(st.text())
def test_shown_text_has_no_markup_of_its_own(text):
    plain = shown(text).replace('<span class="unseen">', "").replace("</span>", "")
    assert "<" not in plain and '"' not in plain


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**b** <i>x</i>", "<p><strong>b</strong> &lt;i&gt;x&lt;/i&gt;</p>\n"),
        ("![x](http://evil.example/a.png)", "<p></p>\n"),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>\n"),
        (
            "[a](https://b.example)",
            '<p><a href="https://b.example" rel="noopener noreferrer nofollow">a</a></p>\n',
        ),
        ("# Title", '<p class="heading"><strong>Title</strong></p>\n'),
        ("a\u202eb", "<p>a[U+202E]b</p>\n"),
    ],
)
def test_markdown_keeps_no_raw_html_no_images_and_no_code(markdown, html):
    assert rendered(markdown) == html
