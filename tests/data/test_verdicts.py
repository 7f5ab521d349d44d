import pytest
from pydantic import ValidationError

from fairlead.core.errors import ConfigError
from fairlead.data.chat import ChatFormat
from fairlead.data.verdicts import VerdictFormat, verdict_items
from fairlead.records import Comparison, Message, Prompt
from fairlead.testbeds.arithmetic import ArithmeticWorld

DIGITS = VerdictFormat(template="{prompt}\n{first}\n\n{second}\n", options=("1", "2"))
ASKED = Prompt.of("What is 1 + 2?")


def arithmetic() -> ChatFormat:
    return ChatFormat(ArithmeticWorld().tokenizer())


def test_a_question_shows_prompt_and_both_replies_as_they_are() -> None:
    text = VerdictFormat().question(Prompt.of("Hi {second}"), " one {prompt}", "two ").messages[0]
    assert "\n\nHi {second}\n\nReply A: one {prompt}\n\nReply B: two\n\n" in text.content
    turns = (Message(role="user", content="a"), Message(role="assistant", content="b"))
    shown = VerdictFormat().question(Prompt(messages=turns), "x", "y").messages[0].content
    assert "Human: a\n\nAssistant: b" in shown


def test_both_orders_are_asked_and_the_verdicts_are_one_token_each() -> None:
    chat = arithmetic()
    record = Comparison(prompt=ASKED, chosen="answer: 3", rejected="answer: 4")
    (first, second), too_long = verdict_items([record], chat, DIGITS, max_length=127)
    assert too_long == 0 and first.record == second.record == 0
    assert [len(v) for v in (*first.responses, *second.responses)] == [1, 1, 1, 1]
    assert [chat.text(v) for v in first.responses] == ["1", "2"]
    assert (first.ranks, second.ranks) == ((0, 1), (1, 0))
    assert chat.text(first.prompt) == "What is 1 + 2?\nanswer: 3\n\nanswer: 4"
    assert chat.text(second.prompt) == "What is 1 + 2?\nanswer: 4\n\nanswer: 3"


def test_questions_that_are_too_long_are_counted() -> None:
    record = Comparison(prompt=ASKED, chosen="answer: 3", rejected="answer: 4")
    assert verdict_items([record], arithmetic(), DIGITS, max_length=9) == ([], 1)


def test_options_that_look_alike_are_refused() -> None:
    form = VerdictFormat(template=DIGITS.template, options=("yes", "no"))  # both unknown
    with pytest.raises(ConfigError, match="apart"):
        form.item(arithmetic(), form.question(ASKED, "1", "2"))


def test_a_template_must_show_everything() -> None:
    with pytest.raises(ValidationError, match="second"):
        VerdictFormat(template="{prompt} {first}")
