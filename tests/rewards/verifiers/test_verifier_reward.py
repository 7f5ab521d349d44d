import time

import pytest
import torch
from problems import problem
from pydantic import TypeAdapter, ValidationError

from fairlead.core.errors import ConfigError, DataError
from fairlead.records import Prompt
from fairlead.rewards.base import Reply
from fairlead.rewards.verifiers import (
    AnyChecker,
    CodeChecker,
    ExactChecker,
    FormatChecker,
    GateChecker,
    Limits,
    NumberChecker,
    WeightedChecker,
)
from fairlead.rewards.verifiers.reward import CheckedGap, VerifierReward

FORM = FormatChecker(sections=("think", "answer"))
NUMBER = NumberChecker(section="answer")
GOOD = "<think>6 * 7</think><answer>42</answer>"
WRONG = "<think>6 * 8</think><answer>48</answer>"
BARE = "so <answer>42</answer>"


def reply(text: str, answer: str = "42", finish: str = "eos") -> Reply:
    asked = problem(answer)
    return Reply(asked.prompt, (1,), (2,), text, asked, finish)


@pytest.mark.parametrize(
    ("text", "weighted", "gated"),
    [(GOOD, 1.1, 1.0), (WRONG, 0.1, 0.0), (BARE, 1.0, 0.0), ("", 0, 0)],
)
def test_weights_and_gates(text, weighted, gated):
    both = WeightedChecker(correct=NUMBER, format=FORM).check(problem("42"), text)
    assert both.score == pytest.approx(weighted / 1.1)
    assert GateChecker(correct=NUMBER, format=FORM).check(problem("42"), text).score == gated


def test_form_may_be_worth_a_tenth_at_most():
    assert WeightedChecker(correct=NUMBER, format=FORM, format_weight=0.1).format_weight == 0.1
    with pytest.raises(ConfigError, match="at most a tenth"):
        WeightedChecker(correct=NUMBER, format=FORM, format_weight=0.11)


@pytest.mark.parametrize(
    "checker",
    [
        ExactChecker(ignore_case=True),
        NUMBER,
        FORM,
        CodeChecker(limits=Limits(wall_seconds=3.0), score="fraction"),
        WeightedChecker(correct=NUMBER, format=FORM, format_weight=0.05),
        GateChecker(correct=CodeChecker(section="answer"), format=FORM),
    ],
)
def test_recipes_name_checkers_by_their_kind(checker):
    any_checker = TypeAdapter(AnyChecker)
    assert any_checker.validate_python(checker.model_dump()) == checker
    assert any_checker.validate_json(checker.model_dump_json()) == checker
    with pytest.raises(ValidationError):
        any_checker.validate_python(checker.model_dump() | {"unknown": 1})


def test_a_recipe_cannot_go_beyond_the_tenth_either():
    settings = {"kind": "weighted", "correct": {"kind": "exact"}, "format": {"kind": "exact"}}
    with pytest.raises(ValidationError, match="at most a tenth"):
        TypeAdapter(AnyChecker).validate_python(settings | {"format_weight": 0.5})


def test_scores_parts_and_reasons_in_order():
    source = VerifierReward(WeightedChecker(correct=NUMBER, format=FORM), scale=11.0)
    texts = [GOOD, WRONG, BARE, "nothing"]
    scored = source.score([*map(reply, texts), reply(GOOD, finish="length")])
    torch.testing.assert_close(scored.values, torch.tensor([11.0, 1.0, 10.0, 0.0, 0.0]))
    assert scored.values.dtype == torch.float32
    torch.testing.assert_close(scored.parts["correct"], torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(scored.parts["format"], torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0]))
    assert scored.reasons == ("correct", "wrong", "correct", "no_answer", "truncated")


def test_a_truncated_reply_is_wrong_unless_allowed():
    cut = reply("#### 42", finish="length")
    assert VerifierReward(NumberChecker()).score([cut]).values.tolist() == [0.0]
    allowed = VerifierReward(NumberChecker(), allow_truncated=True).score([cut])
    assert (allowed.values.tolist(), allowed.reasons, allowed.parts) == ([1.0], ("correct",), {})


def test_a_reply_without_a_problem_is_refused():
    bare = Reply(Prompt.of("How many?"), (1,), (2,), "42")
    for source in (VerifierReward(NumberChecker()), CheckedGap(NumberChecker(), NumberChecker())):
        with pytest.raises(DataError, match="needs the problem"):
            source.score([reply("42"), bare])


def test_no_replies_have_no_scores():
    assert VerifierReward(NumberChecker()).score([]).values.shape == (0,)


def test_the_gap_between_what_is_optimised_and_what_is_meant():
    """A policy that lists numbers satisfies a checker of the last one, and not the strict one."""
    gap = CheckedGap(visible=NumberChecker(), hidden=NumberChecker(need_marker=True))
    scored = gap.score([reply("#### 42"), reply("41, 42"), reply("41")])
    assert scored.values.tolist() == [1.0, 1.0, 0.0]
    assert scored.parts["hidden"].tolist() == [1.0, 0.0, 0.0]
    assert (scored.parts["visible"] - scored.parts["hidden"]).mean().item() == pytest.approx(1 / 3)


def test_code_is_checked_side_by_side():
    """Eight programs that wait half a second each do not take four seconds."""
    waiting = "import time\ntime.sleep(0.5)\ndef f(): return 1"
    replies = [reply(waiting, "assert f() == 1")] * 7 + [
        reply("def f(): return 2", "assert f() == 1")
    ]
    began = time.monotonic()
    scored = VerifierReward(CodeChecker(), workers=8).score(replies)
    assert time.monotonic() - began < 3.0
    assert scored.values.tolist() == [1.0] * 7 + [0.0]
    assert scored.reasons == ("correct",) * 7 + ("wrong",)
