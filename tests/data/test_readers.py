"""Each format, on rows written by hand."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.data.readers import FORMATS, BadRow, read
from fairlead.data.readers.ranked import PAIRS, consistent_ranks
from fairlead.data.readers.reading import _parse
from fairlead.records import Comparison, Demonstration, Problem, Prompt, Provenance, Ranking, Rating
from fairlead.records import StepLabels as Steps
from fairlead.records.files import write_records

USER = {"role": "user", "content": "Hi"}
TREE = {
    "role": "prompter",
    "text": "Q",
    "rank": None,
    "replies": [
        {"role": "assistant", "text": "good", "rank": 0, "replies": []},
        {"role": "assistant", "text": "bad", "rank": 1, "replies": []},
        {"role": "assistant", "text": "unranked", "rank": None, "replies": []},
    ],
}
OWN_PROMPT = {"messages": [USER], "subset": "", "provenance": None}
ROWS: dict[str, list[dict[str, Any]]] = {
    "fairlead": [
        {"kind": "Comparison", "prompt": OWN_PROMPT, "chosen": "b", "rejected": "c"},
        {"kind": "Problem", "prompt": OWN_PROMPT, "answer": "3"},
        {"kind": "Prompt", **OWN_PROMPT},
    ],
    "hh-rlhf": [
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}
    ],
    "preference": [
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"prompt": [USER], "chosen": [{"role": "assistant", "content": "b"}], "rejected": "c"},
        {
            "chosen": [USER, {"role": "assistant", "content": "b"}],
            "rejected": [USER, {"role": "assistant", "content": "c"}],
        },
        {
            "conversations": [{"from": "human", "value": "a"}],
            "chosen": {"from": "gpt", "value": "b"},
            "rejected": {"from": "gpt", "value": "c"},
        },
        {"instruction": "a", "input": "more", "chosen": "b", "rejected": "c"},
    ],
    "messages": [{"messages": [USER, {"role": "assistant", "content": "b"}]}],
    "prompt-completion-label": [
        {"prompt": "a", "completion": "b", "label": True},
        {"messages": [USER, {"role": "assistant", "content": "b"}], "label": False},
    ],
    "demonstration": [{"prompt": "a", "completion": "b"}, {"instruction": "a", "output": "b"}],
    "ranked": [{"prompt": "a", "responses": ["b", "c", "d"], "ranks": [0, 2, 0]}],
    "oasst-trees": [TREE],
    "gsm8k": [{"question": "1+1?", "answer": "Add.\n#### 1,002"}],
    "problem": [{"problem": "1+1?", "answer": 2, "solution": "Add."}],
    "marked-solutions": [{"question": "1+1?", "m": {"is_correct": True, "solution": "2"}}],
    "steps": [
        {"prompt": "a", "steps": ["b", "c"], "labels": [1, -1]},
        {"input": "a", "steps": ["b", "c", "d"], "mistake_index": 1},
        {"problem": "a", "steps": ["b"], "label": -1},
        {
            "question": {"problem": "a"},
            "label": {
                "steps": [
                    {
                        "completions": [{"text": "x", "rating": -1}, {"text": "b", "rating": 1}],
                        "chosen_completion": 1,
                    },
                    {"completions": [{"text": "c", "rating": -1}], "chosen_completion": None},
                ]
            },
        },
    ],
    "pairwise-label": [
        {"prompt": "a", "response 1": "b", "response 2": "c", "label": 2},
        {"input": "a", "output_1": "b", "output_2": "c", "label": 2},
        {"prompt": "a", "completion_a": "b", "completion_b": "c", "preference": "b-is-better"},
    ],
    "arena-votes": [
        {
            "conversation_a": [USER, {"role": "assistant", "content": "b"}],
            "conversation_b": [USER, {"role": "assistant", "content": "c"}],
            "winner": "model_b",
            "judge": "arena_user_7",
            "model_a": "x",
            "model_b": "y",
        }
    ],
    "pandalm": [
        {
            "instruction": "a",
            "input": "more",
            "response1": "b",
            "response2": "c",
            "annotator1": 2,
        }
    ],
    "mt-bench": [{"turns": ["a", "and then?"], "category": "writing"}],
    "finegrained-rlhf": [
        {
            "question": "q",
            "passages": [["T", "one.", "two."]],
            **{f"prediction {k}": f"p{k}" for k in (1, 2, 3, 4)},
            "preference": [0, 1, 1, 1, 1, 2],
        }
    ],
    "prompts": [{"prompt": "a"}],
    "pku-saferlhf": [
        {
            "prompt": "a",
            "response_0": "helpful",
            "response_1": "harmless",
            "is_response_0_safe": False,
            "is_response_1_safe": True,
            "better_response_id": 0,
            "safer_response_id": 1,
        }
    ],
    "beavertails": [{"prompt": "a", "response": "b", "category": {}, "is_safe": False}],
    "helpsteer": [
        {
            "prompt": "a",
            "response": "b",
            "helpfulness": 3,
            "correctness": 4,
            "coherence": 4,
            "complexity": 1,
            "verbosity": 2,
        }
    ],
    "ultrafeedback": [
        {
            "instruction": "a",
            "completions": [
                {
                    "response": "b",
                    "annotations": {"helpfulness": {"Rating": "5"}, "honesty": {"Rating": "N/A"}},
                    "overall_score": 8.5,
                }
            ],
        }
    ],
}


def write(path: Path, rows: Iterable[Any]) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def only(tmp_path: Path, row: dict[str, Any], format: str = "auto") -> Any:
    (record,) = read(write(tmp_path / "rows.jsonl", [row]), format).records
    return record


def texts(prompt: Prompt) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in prompt.messages]


def test_every_format_has_rows_here():
    assert set(ROWS) == set(FORMATS)


@pytest.mark.parametrize(("name", "row"), [(n, r) for n, rows in ROWS.items() for r in rows])
def test_each_row_is_claimed_by_its_format_alone_and_reads(name, row, tmp_path):
    assert [f.name for f in FORMATS.values() if f.detect(row)] == [name]
    result = read(write(tmp_path / "rows.jsonl", [row]))
    assert result.format == name
    assert len(result.records) == 1
    assert result.rejected == ()


def test_hh_prompt_is_all_but_the_last_reply(tmp_path):
    shared = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c"
    row = {"chosen": f"{shared}\n\nAssistant: good ", "rejected": f"{shared}\n\nAssistant: bad"}
    record = only(tmp_path, row)
    assert texts(record.prompt) == [("user", "a"), ("assistant", "b"), ("user", "c")]
    assert (record.chosen, record.rejected) == ("good", "bad")


def test_hh_neighbouring_turns_of_one_speaker_are_one_reply(tmp_path):
    row = {
        "chosen": "\n\nHuman: a\n\nAssistant: one\n\nAssistant: two",
        "rejected": "\n\nHuman: a\n\nAssistant: bad",
    }
    assert only(tmp_path, row).chosen == "one\n\ntwo"


def test_hh_sides_that_part_early_are_rejected_with_the_reason(tmp_path):
    good = ROWS["hh-rlhf"][0]
    early = {
        "chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
        "rejected": "\n\nHuman: a\n\nAssistant: x",
    }
    human_last = {**good, "rejected": "\n\nHuman: a"}
    result = read(write(tmp_path / "hh.jsonl", [good, early, human_last]))
    assert len(result.records) == 1
    assert [(r.row, r.field) for r in result.rejected] == [
        (2, "chosen and rejected"),
        (3, "rejected"),
    ]
    assert result.rejected[0].got == "4 and 2 turns of which the first 1 are shared"


def test_preference_with_scores_and_tie(tmp_path):
    row = {**ROWS["preference"][0], "score_chosen": 8.5, "score_rejected": 6, "tie": False}
    assert only(tmp_path, row).strength == 2.5
    assert only(tmp_path, {**ROWS["preference"][0], "tie": True}).tie


def test_files_of_earlier_runs_are_read_as_they_were_written(tmp_path):
    soft = Comparison(
        prompt=Prompt.of("a"), chosen="b", rejected="c", preference=0.75, rejected_safe=False
    )
    write_records(tmp_path / "run.jsonl", [soft])
    assert read(tmp_path / "run.jsonl").records == (soft,)
    bad = {"kind": "Comparison", "prompt": OWN_PROMPT, "chosen": "b"}
    with pytest.raises(DataError, match="rejected"):
        read(write(tmp_path / "bad.jsonl", [bad]))


def test_soft_preferences_are_read_and_checked(tmp_path):
    row = ROWS["preference"][0]
    read_row = only(tmp_path, {**row, "preference": 0.75, "safer": "rejected"})
    assert (read_row.preference, read_row.safer) == (0.75, "rejected")
    for field, value in (("preference", 1.5), ("preference", "high"), ("safer", "both")):
        with pytest.raises(DataError, match=field):
            only(tmp_path, {**row, field: value})


def test_replies_that_repeat_another_prompt_are_rejected(tmp_path):
    implicit = ROWS["preference"][2]
    assert only(tmp_path, {**implicit, "prompt": "Hi"}).chosen == "b"
    with pytest.raises(DataError, match="no usable record"):
        only(tmp_path, {**implicit, "prompt": "Something else"})


def test_alpaca_input_follows_the_instruction(tmp_path):
    assert only(tmp_path, ROWS["preference"][4]).prompt.first_user_turn == "a\n\nmore"


def test_a_prompt_may_be_a_transcript(tmp_path):
    row = {"prompt": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:", "response": "d"}
    record = only(tmp_path, row)
    assert texts(record.prompt) == [("user", "a"), ("assistant", "b"), ("user", "c")]


def test_chat_keeps_a_system_message_and_ends_with_the_reply(tmp_path):
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    record = only(tmp_path, {"conversations": turns, "system": "Be kind."})
    assert record == Demonstration(prompt=record.prompt, response="b")
    assert texts(record.prompt) == [("system", "Be kind."), ("user", "a")]


def test_ratings_are_numbers(tmp_path):
    values = [
        read(write(tmp_path / "r.jsonl", [row])).records[0]
        for row in ROWS["prompt-completion-label"]
    ]
    assert [v.value for v in values if isinstance(v, Rating)] == [1.0, 0.0]


def test_tree_gives_its_ranked_replies(tmp_path):
    record = only(tmp_path, TREE)
    assert isinstance(record, Ranking)
    assert (record.responses, record.ranks) == (("good", "bad"), (0, 1))


def test_nested_tree_keeps_the_conversation_above(tmp_path):
    asked_again = {"role": "prompter", "text": "And?", "rank": None, "replies": TREE["replies"]}
    answer = {"role": "assistant", "text": "A", "rank": 0, "replies": [asked_again]}
    record = only(tmp_path, {**TREE, "replies": [answer]})
    assert texts(record.prompt) == [("user", "Q"), ("assistant", "A"), ("user", "And?")]


def test_gsm8k_answer_and_solution(tmp_path):
    record = only(tmp_path, ROWS["gsm8k"][0])
    assert isinstance(record, Problem)
    assert (record.answer, record.solution) == ("1002", "Add.")


def test_first_errors_become_labels(tmp_path):
    row = ROWS["steps"][1]
    found = [only(tmp_path, {**row, "mistake_index": k}).labels for k in (None, 0, 1, 2)]
    assert found == [(1, 1, 1), (-1, None, None), (1, -1, None), (1, 1, -1)]
    one_based = {
        "question": "a",
        "model_output_steps": ["b", "c"],
        "model_output_solution_first_error_step": 2,
    }
    assert only(tmp_path, one_based).labels == (1, -1)


def test_prm800k_follows_the_chosen_path(tmp_path):
    record = only(tmp_path, ROWS["steps"][3])
    assert isinstance(record, Steps)
    assert (record.steps, record.labels) == (("b", "c"), (1, -1))


def test_pairwise_labels_mean_what_their_source_says(tmp_path):
    autoj, llmbar, tulu = ROWS["pairwise-label"]
    found = [only(tmp_path, {**autoj, "label": k}) for k in (0, 1, 2)]
    assert [(c.chosen, c.tie, c.strength) for c in found] == [
        ("b", False, None),
        ("c", False, None),
        ("b", True, None),
    ]
    assert [only(tmp_path, {**llmbar, "label": k}).chosen for k in (1, 2)] == ["b", "c"]
    grades = ["a-is-better", "a-is-slightly-better", "tie", "b-is-slightly-better", "b-is-better"]
    found = [only(tmp_path, {**tulu, "preference": g, "annotator": "ann1"}) for g in grades]
    assert [(c.chosen, c.strength) for c in found] == [
        ("b", 2.0),
        ("b", 1.0),
        ("b", 0.0),
        ("c", 1.0),
        ("c", 2.0),
    ]
    assert found[0].prompt.provenance.annotator == "ann1"


def test_each_annotator_of_a_pair_gives_a_comparison(tmp_path):
    row = {**ROWS["pandalm"][0], "annotator2": 0}
    found = read(write(tmp_path / "r.jsonl", [row])).records
    pairs = [r for r in found if isinstance(r, Comparison)]
    assert [(c.chosen, c.rejected, c.tie) for c in pairs] == [("c", "b", False), ("b", "c", True)]
    assert [c.prompt.provenance.annotator for c in pairs] == ["annotator1", "annotator2"]
    assert {c.prompt.first_user_turn for c in pairs} == {"a\n\nmore"}
    bad = read(write(tmp_path / "r.jsonl", [row, {**row, "annotator2": 3}])).rejected
    assert [(r.row, r.field, r.got) for r in bad] == [(2, "annotator2", "int 3")]


def test_the_first_turn_is_the_prompt(tmp_path):
    record = only(tmp_path, ROWS["mt-bench"][0])
    assert (record.first_user_turn, record.subset) == ("a", "writing")


def test_consistent_preferences_become_a_ranking_with_the_passages_above(tmp_path):
    record = only(tmp_path, ROWS["finegrained-rlhf"][0])
    assert isinstance(record, Ranking)
    assert record.ranks == (0, 0, 2, 1)
    assert record.prompt.first_user_turn == "T\n\none. two.\n\nQuestion: q"


def test_contradicting_preferences_stay_comparisons(tmp_path):
    circle = {**ROWS["finegrained-rlhf"][0], "preference": [1, 2, 1, 1, 1, 0]}
    records = read(write(tmp_path / "r.jsonl", [circle])).records
    pairs = [(c.chosen, c.rejected, c.tie) for c in records if isinstance(c, Comparison)]
    assert pairs == [
        ("p1", "p2", False),
        ("p3", "p1", False),
        ("p1", "p4", False),
        ("p2", "p3", False),
        ("p2", "p4", False),
        ("p3", "p4", True),
    ]


@given(st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_ranks_are_found_from_the_preferences_they_imply(levels):
    verdicts = [
        0 if levels[i] == levels[j] else 1 if levels[i] < levels[j] else 2 for i, j in PAIRS
    ]
    ordered = sorted(set(levels))
    assert consistent_ranks(verdicts) == tuple(ordered.index(level) for level in levels)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data())
def test_no_junk_in_a_field_raises_anything_but_a_bad_row(data):
    name = data.draw(st.sampled_from(sorted(ROWS)))
    row = dict(data.draw(st.sampled_from(ROWS[name])))
    field = data.draw(st.sampled_from(sorted(row)))
    row[field] = data.draw(JUNK)
    outcome = _records_or_reason(row, name)
    assert outcome
    assert all(outcome)


def _records_or_reason(row: dict[str, Any], name: str) -> tuple[Any, ...]:
    try:
        return tuple(_parse(row, FORMATS[name], Provenance(source="f", row=1)))
    except BadRow as bad:
        return bad.field, bad.expected, bad.got


def test_the_subset_is_kept(tmp_path):
    assert only(tmp_path, {"prompt": "a", "completion": "b", "scenario": "s"}).prompt.subset == "s"


def test_safety_is_kept_apart_from_helpfulness(tmp_path):
    record = only(tmp_path, ROWS["pku-saferlhf"][0])
    assert (record.chosen, record.rejected, record.safer) == ("helpful", "harmless", "rejected")
    assert (record.chosen_safe, record.rejected_safe) == (False, True)


def test_ratings_by_dimension_are_kept(tmp_path):
    helpsteer = only(tmp_path, ROWS["helpsteer"][0])
    assert helpsteer.value == 3.0 and helpsteer.scores["correctness"] == 4.0
    assert len(helpsteer.scores) == 5
    ultrafeedback = only(tmp_path, ROWS["ultrafeedback"][0])
    assert (ultrafeedback.value, ultrafeedback.scores) == (8.5, {"helpfulness": 5.0})
    plain = only(tmp_path, {"prompt": "a", "response": "b", "label": 1, "scores": {"wit": 2}})
    assert (plain.value, plain.scores) == (1.0, {"wit": 2.0})


def test_rows_that_tested_the_labellers_are_refused():
    row = ROWS["steps"][3] | {"is_quality_control_question": True}
    with pytest.raises(BadRow, match="is_quality_control_question"):
        list(FORMATS["steps"].parse(row, Provenance(source="x")))


def test_flags_of_a_preference_row_are_kept_and_checked(tmp_path):
    row = {"prompt": "a", "chosen": "b", "rejected": "c", "chosen_safe": True}
    record = only(tmp_path, row)
    assert (record.chosen_safe, record.rejected_safe) == (True, None)
    with pytest.raises(BadRow, match="chosen_safe"):
        list(FORMATS["preference"].parse(row | {"chosen_safe": "yes"}, Provenance(source="x")))


def test_arena_votes(tmp_path: Path):
    row = ROWS["arena-votes"][0]
    record = only(tmp_path, row)
    assert (record.chosen, record.rejected, record.tie) == ("c", "b", False)
    assert record.prompt.provenance.annotator == "arena_user_7"
    for winner in ("tie", "tie (bothbad)"):
        tied = only(tmp_path, {**row, "winner": winner})
        assert (tied.chosen, tied.rejected, tied.tie) == ("b", "c", True)
