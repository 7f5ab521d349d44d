"""Wrong requests get OpenAI's error shape, with what was expected, what came and what to do."""

import httpx
import openai
import pytest
from serving_world import NAME, Running, asked, turns

from fairlead.core.errors import ConfigError
from fairlead.serving.server import key_from, refuse_open
from fairlead.serving.settings import ServeSettings

PROMPT = asked(1)[0]
CHAT = "/v1/chat/completions"
GOOD = {"model": NAME, "messages": turns(PROMPT), "max_tokens": 2}


def post(server, body, path=CHAT, **more):
    return httpx.post(server.address + path, json=body, **more)


def refused(answer, status: int) -> dict:
    """The error of an answer, after a look at its shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["x-request-id"].startswith("req-")
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"messages": []}, "messages", "at least 1 item"),
        ({"messages": "hello"}, "messages", "got str"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages", "'system'"),
        ({"messages": [{"role": "user"}]}, "messages", "messages.0.content is missing"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "name", "no field name"),
        ({"temperature": 3}, "temperature", "less than or equal to 2, got 3"),
        ({"temperature": "warm"}, "temperature", "a valid number"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"max_tokens": -1}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": 1e9}, "max_tokens", "at most 2048 tokens, got"),
        ({"max_completion_tokens": 3}, None, "max_tokens and max_completion_tokens differ"),
        ({"stop": ["x"] * 17}, None, "at most 16 stop texts"),
        ({"stop": ""}, "stop", "at least 1 character"),
        ({"top_logprobs": 2}, None, "top_logprobs needs logprobs: true"),
        ({"tools": [{"type": "function"}]}, "tools", "tools is not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "leave it out"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "not supported"),
        ({"temprature": 0.5}, "temprature", "there is no field temprature"),
        ({"seed": "seven"}, "seed", "a valid integer"),
        ({"stream_options": {"include": True}}, "include", "no field include"),
    ],
)
def test_bad_fields(running, change, param, words):
    error = refused(post(running, {**GOOD, **change}), 400)
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert words in error["message"]


def test_images_are_refused(running):
    part = {"type": "image_url", "image_url": {"url": "data:,"}}
    body = {**GOOD, "messages": [{"role": "user", "content": [part]}]}
    assert "image_url" in refused(post(running, body), 400)["message"]


def test_what_makes_no_difference_is_taken(running):
    idle = {
        "user": "u",
        "metadata": {"a": "b"},
        "store": False,
        "service_tier": "auto",
        "parallel_tool_calls": True,
        "tools": [],
        "tool_choice": "none",
        "response_format": {"type": "text"},
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": None,
        "logprobs": None,
        "stop": None,
    }
    assert post(running, {**GOOD, **idle}).status_code == 200
    answer = running.chat(PROMPT, max_tokens=2)
    back = [*turns(PROMPT), answer.choices[0].message.model_dump(), *turns(PROMPT)]
    assert post(running, {**GOOD, "messages": back}).status_code == 200


def test_the_numbers_of_a_prompt_that_is_too_long(running):
    body = {**GOOD, "messages": [{"role": "user", "content": "w " * 2100}]}
    error = refused(post(running, body), 400)
    assert error["code"] == "context_length_exceeded" and error["param"] == "messages"
    assert "at most 2047 tokens" in error["message"] and "got 210" in error["message"]


def test_a_reply_that_passes_the_context_or_the_limit(running):
    body = {**GOOD, "messages": [{"role": "user", "content": "w " * 2000}], "max_tokens": 200}
    error = refused(post(running, body), 400)
    assert error["code"] == "context_length_exceeded"
    assert "of prompt and 200 of reply" in error["message"]
    error = refused(post(running, {**GOOD, "max_tokens": 1025}), 400)
    assert "at most 1024 tokens, got 1025" in error["message"]


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"{", "application/json", "not JSON"),
        (b"[1]", "application/json", "got list"),
        (b"\xff\xfe", "application/json", "body"),
        (b'{"messages": []}', "text/plain", "application/json"),
        (b"", "application/json", "missing"),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', "application/json", "unicode"),
    ],
)
def test_bodies_that_are_no_requests(running, content, kind, words):
    answer = httpx.post(running.address + CHAT, content=content, headers={"content-type": kind})
    assert words in refused(answer, 400)["message"]


def test_other_addresses_methods_and_models(running):
    error = refused(httpx.get(running.address + "/v2/chat"), 404)
    assert "/v1/chat/completions" in error["message"]
    refused(httpx.get(running.address + CHAT), 405)
    error = refused(post(running, {**GOOD, "model": "gpt-4"}), 404)
    assert error["code"] == "model_not_found" and NAME in error["message"]


def test_a_model_need_not_be_named(running):
    body = {name: value for name, value in GOOD.items() if name != "model"}
    assert post(running, body).json()["model"] == NAME


def test_texts_that_are_continued(running):
    path = "/v1/completions"
    body = {"prompt": "w0", "max_tokens": 2}
    assert (
        "echo is not supported"
        in refused(post(running, {**body, "echo": True}, path), 400)["message"]
    )
    refused(post(running, {**body, "prompt": ["a", "b"]}, path), 400)
    refused(post(running, {**body, "prompt": ""}, path), 400)
    assert post(running, {**body, "prompt": ["w0"]}, path).status_code == 200


def test_a_large_body_is_refused_by_its_length():
    with Running(largest_body=4096) as server:
        body = {**GOOD, "messages": [{"role": "user", "content": "x" * 5000}]}
        assert refused(post(server, body), 413)["code"] == "request_too_large"
        assert post(server, GOOD).status_code == 200


def test_strange_hosts_are_refused_without_a_key(running):
    """A site that points its own name here (DNS rebinding) gets nothing."""
    error = refused(post(running, GOOD, headers={"host": "evil.example:8000"}), 403)
    assert "its own machine only" in error["message"]
    assert post(running, GOOD, headers={"host": "localhost:1"}).status_code == 200


def test_other_sites_may_not_read_answers(running):
    origin = {"origin": "https://evil.example"}
    answer = post(running, GOOD, headers=origin)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked_before = {**origin, "access-control-request-method": "POST"}
    assert httpx.options(running.address + CHAT, headers=asked_before).status_code == 405


def test_a_key_is_asked_for_and_compared():
    with Running(api_key="right") as server:
        assert server.chat(PROMPT, max_tokens=2).usage.completion_tokens == 2
        with (
            server.client(api_key="wrong") as client,
            pytest.raises(openai.AuthenticationError, match="missing or wrong"),
        ):
            client.models.list()
        error = refused(post(server, GOOD), 401)
        assert error["code"] == "invalid_api_key" and "got none" in error["message"]
        assert httpx.get(server.address + "/health").status_code == 200
        key = {"authorization": "Bearer right", "host": "model.example"}
        assert post(server, GOOD, headers=key).status_code == 200


def test_nobody_listens_beyond_this_machine_without_a_key(monkeypatch):
    with pytest.raises(ConfigError, match="could use the server without a key"):
        refuse_open(ServeSettings(name=NAME, host="0.0.0.0"))
    refuse_open(ServeSettings(name=NAME, host="0.0.0.0", api_key="k"))
    for local in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        refuse_open(ServeSettings(name=NAME, host=local))
    monkeypatch.setenv("A_KEY", " secret ")
    assert key_from("A_KEY") == "secret"
    assert key_from(None) is None
    monkeypatch.setenv("A_KEY", "")
    with pytest.raises(ConfigError, match="no API key"):
        key_from("A_KEY")


def test_the_log_holds_no_prompts_unless_told_to(caplog):
    with caplog.at_level("INFO", "fairlead.serving"):
        with Running() as server:
            post(server, GOOD)
            post(server, {**GOOD, "temperature": 9})
        assert PROMPT.first_user_turn not in caplog.text
        assert f"POST {CHAT} 200" in caplog.text and f"POST {CHAT} 400" in caplog.text
        with Running(log_prompts=True) as server:
            reply = server.chat(PROMPT, max_tokens=5).choices[0].message.content
        assert PROMPT.first_user_turn in caplog.text and reply in caplog.text
