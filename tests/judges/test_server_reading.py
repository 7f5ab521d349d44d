"""From bodies, tokens and texts to answers."""

import json
import math

import pytest

from fairlead.judges.asking import Question
from fairlead.judges.server.failures import Failure, refusal, waiting_time
from fairlead.judges.server.options import named, shares
from fairlead.judges.server.replies import answer_of, read
from fairlead.judges.server.requests import request_of
from fairlead.judges.server.settings import ServerSettings
from fairlead.records import Prompt

SERVER = ServerSettings(base_url="http://127.0.0.1:1/v1/", model="m")
WORDS = request_of(Question(prompt=Prompt.of("say")), SERVER)
CHOICE = request_of(Question(prompt=Prompt.of("choose"), options=("yes", "no")), SERVER)


def tops(*pairs: tuple[str, float]) -> list[tuple[str, float]]:
    return [(text, math.log(p)) for text, p in pairs]


@pytest.mark.parametrize(
    ("tokens", "options", "expected", "mass"),
    [
        (tops(("A", 0.6), ("B", 0.2), ("I", 0.1)), ("A", "B"), (0.75, 0.25), 0.8),
        (tops((" A", 0.3), ("A", 0.3), ("a", 0.1), ("B\n", 0.1)), ("A", "B"), (0.875, 0.125), 0.8),
        (tops(("a", 0.3), ("A", 0.1)), ("A", "a"), (0.25, 0.75), 0.4),
        (tops(("YES", 0.5), ("no", 0.1)), ("yes", "no"), (5 / 6, 1 / 6), 0.6),
        # "Yes" could be either of two options, so it is none.
        (tops(("Yes", 0.5), ("yes", 0.1), ("no", 0.1)), ("yes", "YES", "no"), (0.5, 0, 0.5), 0.2),
        # A beginning that two options share names neither.
        (tops(("full", 0.9), ("partial", 0.1)), ("full yes", "full no", "partial"), (0, 0, 1), 0.1),
        (tops(("A.", 0.9), ("Answer", 0.1)), ("A", "B"), (), 0.0),
        (
            tops(("1", 0.5), ("9", 0.25), ("10", 0.25)),
            tuple("123456789"),
            (2 / 3, *[0] * 7, 1 / 3),
            0.75,
        ),
    ],
)
def test_tokens_name_options_where_nothing_is_ambiguous(tokens, options, expected, mass):
    found, total = shares(tokens, options)
    assert found == pytest.approx(expected)
    assert total == pytest.approx(mass)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("A", 0),
        (" b. ", 1),
        ("**B**", 1),
        ("(A)", 0),
        ("Both are fine.\n\nVERDICT: A", 0),
        ("A is shorter.\nB", 1),
        ("Verdict: A or B", None),
        ("A is better", None),
        ("I cannot say", None),
        ("", None),
        ("...", None),
    ],
)
def test_texts_name_an_option_by_themselves_or_on_their_last_line(text, option):
    assert named(text, ("A", "B")) == option


def body(content="hello", finish="stop", **more) -> str:
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}], **more})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "<html></html>",
        '{"choices": []}',
        '{"error": {"message": "overloaded"}}',
        body()[:-5],
        body(content=""),
        body(content=None),
        body(finish="tool_calls"),
        body(finish=None),
        body(content=["parts"]),
        json.dumps({"choices": [{"finish_reason": "stop"}]}),
    ],
)
def test_garbage_is_unusable(text):
    with pytest.raises(Failure) as caught:
        read(text)
    assert caught.value.kind == "unusable" and caught.value.tokens == (0, 0)


def test_garbage_with_a_bill_is_counted():
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    with pytest.raises(Failure) as caught:
        read(body(finish="function_call", usage=usage))
    assert caught.value.tokens == (7, 3)
    with pytest.raises(Failure) as caught:
        read(body(content="", usage=usage))
    assert caught.value.tokens == (7, 3)


@pytest.mark.parametrize(
    ("text", "state", "said"),
    [
        (body("hello"), "scored", "hello"),
        (body("hel", "length"), "truncated", "hel"),
        (body("", "length"), "truncated", ""),
        (body("", "content_filter"), "judge_refused", ""),
        (body(None, "stop", message={"refusal": "I will not."}), "judge_refused", ""),
    ],
)
def test_ends_have_states(text, state, said):
    answer = answer_of(read(text), WORDS)
    assert (answer.state, answer.text) == (state, said)


def test_tokens_are_counted_by_the_server_or_estimated():
    counted = read(body(usage={"prompt_tokens": 7, "completion_tokens": 3}))
    estimated = read(body("x" * 30))
    one, other = answer_of(counted, WORDS), answer_of(estimated, WORDS)
    assert (one.prompt_tokens, one.completion_tokens) == (7, 3)
    # 8 for the turn and 3 bytes of "say" over 3; 1 and 30 bytes over 3
    assert (other.prompt_tokens, other.completion_tokens) == (9, 11)


@pytest.mark.parametrize(
    ("content", "finish", "state", "probabilities"),
    [
        ("Yes.", "stop", "scored", (1.0, 0.0)),
        ("no", "length", "scored", (0.0, 1.0)),
        ("Well", "length", "truncated", ()),
        ("Maybe", "stop", "parse_fail", ()),
    ],
)
def test_choices_are_read_from_texts_without_logprobs(content, finish, state, probabilities):
    answer = answer_of(read(body(content, finish)), CHOICE)
    assert (answer.state, answer.probabilities, answer.mass) == (state, probabilities, None)


def test_a_request_holds_what_was_asked():
    assert WORDS.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "say"}],
        "max_tokens": 256,
        "temperature": 0.0,
    }
    chosen = {"max_tokens": 1, "temperature": 1.0, "logprobs": True, "top_logprobs": 20}
    assert {k: CHOICE.body[k] for k in chosen} == chosen
    drawn = Question(prompt=Prompt.of("say"), temperature=0.7, max_tokens=9)
    own = SERVER.model_copy(
        update={
            "length_field": "max_completion_tokens",
            "omit": ("temperature",),
            "extra": {"top_k": 5},
        }
    )
    fields = request_of(drawn, own).body
    assert sorted(fields) == ["max_completion_tokens", "messages", "model", "seed", "top_k"]
    assert fields["seed"] != request_of(drawn.model_copy(update={"sample": 1}), own).body["seed"]


def test_keys_follow_from_what_decides_the_answer():
    same = request_of(Question(prompt=Prompt.of("say", subset="test")), SERVER)
    assert same.key == WORDS.key
    slower = SERVER.model_copy(update={"concurrency": 1, "price": {"prompt": 1}, "seed": 4})
    assert request_of(WORDS.question, slower).key == WORDS.key
    others = [
        request_of(WORDS.question.model_copy(update=change), SERVER)
        for change in ({"sample": 1}, {"max_tokens": 9}, {"prompt": Prompt.of("say!")})
    ]
    others += [
        request_of(WORDS.question, SERVER.model_copy(update=change))
        for change in ({"model": "n"}, {"version": "2"}, {"base_url": "http://127.0.0.1:2/v1"})
    ]
    assert len({WORDS.key, *(other.key for other in others)}) == 7


@pytest.mark.parametrize(
    ("status", "text", "headers", "kind"),
    [
        (401, "", {}, "fatal"),
        (403, '{"error": "no"}', {}, "fatal"),
        (404, "not found", {}, "fatal"),
        (400, '{"error": {"message": "bad", "code": null}}', {}, "fatal"),
        (422, '{"detail": [{"loc": ["body"]}]}', {}, "fatal"),
        (400, '{"error": {"message": "x", "code": "content_filter"}}', {}, "declined"),
        (
            400,
            '{"error": {"code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}',
            {},
            "declined",
        ),
        (400, '{"error": {"message": "x", "code": "context_length_exceeded"}}', {}, "unfit"),
        (413, "too large", {}, "unfit"),
        (429, "", {}, "busy"),
        (429, '{"error": {"message": "x", "code": "insufficient_quota"}}', {}, "fatal"),
        (503, "", {"retry-after": "3"}, "busy"),
        (503, "", {}, "failed"),
        (500, "[1, 2]", {}, "failed"),
        (409, "", {}, "failed"),
    ],
)
def test_statuses_say_what_is_to_be_done(status, text, headers, kind):
    assert refusal(status, text, headers).kind == kind


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "3", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_waiting_times_are_numbers_or_dates(headers, seconds):
    assert waiting_time(headers) == seconds
