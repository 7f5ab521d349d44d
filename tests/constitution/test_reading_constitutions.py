"""A constitution that cannot be used is refused with the line and what to do."""

from pathlib import Path

import pytest

from fairlead.constitution.reading import lint, load_constitution
from fairlead.core.errors import ConfigError

GOOD = """\
name: mine
version: 1.5
principles:
  - id: kind
    text: Be kind.
    rationale: It is better.
    critique_request: Is it unkind?
    revision_request: Make it kind.
    comparison_question: Which is kinder?
  - id: brief
    text: Be brief.
    rationale: Time is short.
    critique_request: Is it long?
    revision_request: Make it short.
    comparison_question: Which is shorter?
"""


def faults(text: str) -> list[str]:
    return [str(fault) for fault in lint(text)]


def test_a_good_one_has_no_faults_and_loads(tmp_path: Path):
    assert faults(GOOD) == []
    path = tmp_path / "c.yaml"
    path.write_text(GOOD)
    loaded = load_constitution(path)
    assert (loaded.version, [p.id for p in loaded.principles]) == ("1.5", ["kind", "brief"])


def test_repeated_ids():
    assert faults(GOOD.replace("id: brief", "id: kind")) == [
        "line 10, kind: error: the same id as principle 1 (kind); change or remove one of the two"
    ]


def test_repeated_words_whatever_their_case_and_spaces():
    assert faults(GOOD.replace("text: Be brief.", "text: be   KIND.")) == [
        "line 11, brief: error: the same text as principle 1 (kind); change or remove one of the "
        "two"
    ]


def test_empty_request():
    assert faults(GOOD.replace("critique_request: Is it long?", 'critique_request: "  "')) == [
        "line 13, brief.critique_request: error: critique_request is empty; write a "
        "critique_request, or remove the entry"
    ]


def test_missing_request():
    assert faults(GOOD.replace("    revision_request: Make it short.\n", "")) == [
        "line 10, brief.revision_request: error: revision_request is missing; add revision_request"
    ]


def test_unknown_field_with_a_guess():
    assert faults(GOOD.replace("comparison_question: Which is kinder", "comparison: Which is")) == [
        "line 4, kind.comparison_question: error: comparison_question is missing; add "
        "comparison_question",
        "line 9, kind.comparison: error: unknown field comparison; did you mean "
        "comparison_question?",
    ]


def test_unknown_field_at_the_top():
    (found,) = faults(GOOD + "author: me\n")
    assert found.startswith("line 16, author: error: unknown field author; known are name, version")


def test_a_key_that_yaml_would_silently_overwrite():
    assert faults(GOOD.replace("    rationale: It is better.\n", "    text: Be good.\n")) == [
        "line 6, text: error: this key occurs twice; remove one of the two"
    ]


def test_broken_yaml_and_other_things():
    assert faults("name: [") == [
        "line 1, file: error: not YAML: expected the node content, but found '<stream end>'; mend "
        "the syntax"
    ]
    assert faults("- a")[0].startswith("line 1, file: error: not a mapping")
    assert faults("")[0].startswith("line 1, file: error: not a mapping")


def test_a_bad_id_and_a_bad_weight():
    assert faults(GOOD.replace("id: brief", "id: So Brief\n    weight: -1")) == [
        "line 10, So Brief.id: error: id 'So Brief' is no short name; use lower-case letters, "
        "digits, - and _, a letter first",
        "line 11, So Brief.weight: error: weight: input should be greater than 0, got '-1'; "
        "correct the value",
    ]


def test_warnings_do_not_refuse(tmp_path: Path):
    text = GOOD.replace("    rationale: Time is short.\n", "")
    text = text.replace("Be brief.", "Be kinds.")
    assert faults(text) == [
        "line 10, brief: warning: no rationale; say why the principle is there",
        "line 11, brief: warning: its text is much like that of kind; check that both are needed",
    ]
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert len(load_constitution(path).principles) == 2


def test_loading_says_every_error_at_once(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text(GOOD.replace("Is it long?", '""').replace("name: mine", "title: mine"))
    with pytest.raises(ConfigError) as caught:
        load_constitution(path)
    assert "3 errors" in caught.value.what
    assert str(path) in caught.value.where
    for words in ("name is missing", "unknown field title", "critique_request is empty"):
        assert words in caught.value.got


def test_no_such_file():
    with pytest.raises(ConfigError, match="cannot be read"):
        load_constitution("nowhere.yaml")
