"""Overload, time-outs, clients that leave, models that fail, servers that end: always an answer."""

import asyncio
import socket
import threading
import time

import httpx
import openai
import pytest
import torch
from serving_world import NAME, Running, alone, asked, text_of, turns, words

from fairlead.generation.sampling import Sampling

PROMPTS = asked(8)
LONG = {"max_tokens": 1000, "temperature": 0}
"""A reply that goes on for seconds: random weights hardly ever choose to end."""


def body(prompt=PROMPTS[0], **more):
    return {"model": NAME, "messages": turns(prompt), **more}


def long_reply(server: Running) -> threading.Thread:
    """Somebody waits for a long reply."""
    thread = threading.Thread(
        target=lambda: httpx.post(
            server.address + "/v1/chat/completions", json=body(**LONG), timeout=60
        )
    )
    thread.start()
    server.until(lambda load: load.rows == 1)
    return thread


def test_64_clients_at_once_all_get_a_status_and_right_answers():
    prompts = [PROMPTS[k % len(PROMPTS)] for k in range(64)]
    policy = words()
    wanted = [
        text_of(policy, alone(policy, prompt, Sampling(max_new_tokens=24), seed=k)[0])
        for k, prompt in enumerate(prompts)
    ]

    async def all_at_once(server, **options):
        async with server.many(timeout=60, **options) as client:

            async def one(k):
                try:
                    answer = await client.chat.completions.create(
                        **body(prompts[k], seed=k, max_tokens=24, stream=k % 2 == 0)
                    )
                    if k % 2:
                        return 200, answer.choices[0].message.content
                    parts = [c.choices[0].delta.content or "" async for c in answer]
                    return 200, "".join(parts)
                except openai.APIStatusError as error:
                    return error.status_code, error.response.headers.get("retry-after")

            return await asyncio.gather(*map(one, range(64)))

    with Running(policy, rows=8, queue=8) as server:
        found = asyncio.run(all_at_once(server))
        assert {status for status, _ in found} == {200, 429}
        right = [text == wanted[k] for k, (status, text) in enumerate(found) if status == 200]
        assert all(right) and len(right) >= 16
        assert all(int(wait) >= 1 for status, wait in found if status == 429)
        # With the client's own patience everybody is served in the end.
        patient = asyncio.run(all_at_once(server, max_retries=8))
        assert patient == [(200, text) for text in wanted]
        assert server.worker.load.rows == 0


def test_a_full_queue_turns_away_with_a_time_to_come_back():
    with Running(rows=1, queue=1) as server:
        for _ in range(3):  # so that there is a rate
            server.chat(PROMPTS[0], max_tokens=2)
        waiting = [long_reply(server)]
        waiting.append(threading.Thread(target=lambda: server.chat(PROMPTS[1], **LONG)))
        waiting[-1].start()
        server.until(lambda load: load.waiting == 1)
        waits = []
        for _ in range(3):
            with pytest.raises(openai.RateLimitError) as refused:
                server.chat(PROMPTS[2], max_tokens=2)
            assert refused.value.body["type"] == "rate_limit_error"
            assert refused.value.body["code"] == "queue_full"
            assert "at most 1 replies that wait" in refused.value.message
            waits.append(int(refused.value.response.headers["retry-after"]))
        assert waits == sorted(waits) and waits[0] >= 1
        for thread in waiting:
            thread.join()
        assert server.chat(PROMPTS[2], max_tokens=2).usage.completion_tokens == 2


def test_many_replies_of_one_request_take_as_many_places():
    with Running(rows=4, queue=0) as server:
        assert len(server.chat(PROMPTS[0], n=4, max_tokens=3).choices) == 4
        with pytest.raises(openai.BadRequestError, match="n: at most 4"):
            server.chat(PROMPTS[0], n=5, max_tokens=3)
        thread = long_reply(server)
        with pytest.raises(openai.RateLimitError):
            server.chat(PROMPTS[0], n=4, max_tokens=3)
        assert len(server.chat(PROMPTS[0], n=3, max_tokens=3).choices) == 3
        thread.join()


def test_a_reply_that_takes_too_long_ends_with_504():
    with Running(timeout_s=0.3) as server:
        with pytest.raises(openai.InternalServerError, match=r"within 0\.3 s") as late:
            server.chat(PROMPTS[0], **LONG)
        assert late.value.status_code == 504 and late.value.body["code"] == "timeout"
        assert late.value.response.headers["x-should-retry"] == "false"
        server.until(lambda load: load.rows == 0)
        seen: list[str] = []
        stream = server.chat(PROMPTS[0], **LONG, stream=True)
        with pytest.raises(openai.APIError, match="the reply took too long"):
            seen.extend(chunk.choices[0].delta.content or "" for chunk in stream)
        assert len(seen) > 10
        server.until(lambda load: load.rows == 0)


def test_the_time_in_the_queue_counts():
    with Running(rows=1, timeout_s=0.5) as server:
        thread = long_reply(server)
        begun = time.monotonic()
        with pytest.raises(openai.APIError, match="the reply took too long"):
            list(server.chat(PROMPTS[1], **LONG, stream=True))
        assert time.monotonic() - begun >= 0.5
        thread.join()
        server.until(lambda load: (load.rows, load.waiting) == (0, 0))


def test_a_stream_that_is_closed_leaves_the_batch():
    with Running() as server, server.client() as client:
        stream = client.chat.completions.create(**body(**LONG, n=3), stream=True)
        next(iter(stream))
        server.until(lambda load: load.rows == 3)
        stream.close()
        server.until(lambda load: load.rows == 0, seconds=2)


def test_a_client_that_goes_away_leaves_batch_and_queue():
    with Running(rows=1) as server:
        given = {"json": body(**LONG), "timeout": 0.3}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(server.address + "/v1/chat/completions", **given)
        server.until(lambda load: load.rows == 0, seconds=2)
        thread = long_reply(server)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(server.address + "/v1/chat/completions", **given)
        server.until(lambda load: load.waiting == 0, seconds=2)
        assert server.worker.load.rows == 1
        thread.join()


def test_those_who_stay_keep_their_replies_when_others_leave():
    with Running() as server, server.client() as client:
        wanted = server.chat(PROMPTS[1], max_tokens=200, seed=1).choices[0].message.content
        streams = [
            client.chat.completions.create(**body(p, **LONG), stream=True) for p in PROMPTS[:3]
        ]
        for stream in streams:
            next(iter(stream))
        found = []
        thread = threading.Thread(
            target=lambda: found.append(server.chat(PROMPTS[1], max_tokens=200, seed=1))
        )
        thread.start()
        for stream in streams:
            stream.close()
        thread.join()
        assert found[0].choices[0].message.content == wanted


def test_when_the_model_fails_everybody_is_told_and_the_server_says_so():
    with Running(rows=2, queue=4) as server:
        answers = []

        def ask(prompt):
            url = server.address + "/v1/chat/completions"
            answers.append(httpx.post(url, json=body(prompt, **LONG), timeout=30))

        threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in PROMPTS[:4]]
        for thread in threads:
            thread.start()
        server.until(lambda load: (load.rows, load.waiting) == (2, 2))
        with torch.no_grad():
            server.policy.model.model.norm.weight.fill_(torch.nan)
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [500] * 4
        errors = [answer.json()["error"] for answer in answers]
        assert all("logits are not finite" in error["message"] for error in errors)
        health = httpx.get(server.address + "/health")
        assert health.status_code == 503 and health.json()["status"] == "failed"
        assert all(health.json()["error"] in error["message"] for error in errors)
        with pytest.raises(openai.InternalServerError, match="until the server is started again"):
            server.chat(PROMPTS[0], max_tokens=2)


def test_a_server_that_ends_lets_replies_end_and_turns_the_rest_away():
    with Running(rows=1, queue=4) as server:
        url = server.address + "/v1/chat/completions"
        answers = {}

        def ask(name, **more):
            answers[name] = httpx.post(url, json=body(**more), timeout=30)

        running = threading.Thread(
            target=ask, args=("running",), kwargs={**LONG, "max_tokens": 600}
        )
        running.start()
        server.until(lambda load: load.rows == 1)
        waiting = threading.Thread(target=ask, args=("waiting",), kwargs=LONG)
        waiting.start()
        server.until(lambda load: load.waiting == 1)
        server.server.should_exit = True
        waiting.join(timeout=20)
        running.join(timeout=20)
    assert answers["running"].status_code == 200
    assert answers["running"].json()["usage"]["completion_tokens"] == 600
    assert answers["waiting"].status_code == 503
    assert answers["waiting"].json()["error"]["code"] == "stopping"


def test_replies_that_outlast_the_grace_period_are_ended():
    with Running(grace_s=0.2) as server, server.client() as client:
        stream = iter(client.chat.completions.create(**body(**LONG), stream=True))
        next(stream)
        begun = time.monotonic()
        server.server.should_exit = True
        with pytest.raises(openai.APIError, match="being stopped"):
            list(stream)
    assert time.monotonic() - begun < 10


def test_health_says_how_busy_the_server_is(running):
    health = httpx.get(running.address + "/health")
    assert health.status_code == 200
    told = {"status": "ok", "model": NAME, "running": 0, "replies": 0, "waiting": 0}
    assert health.json() == told


def test_a_body_that_does_not_say_its_length_is_cut_off():
    with Running(largest_body=2048) as server:

        def pieces():
            for _ in range(3):
                yield b" " * 1024

        answer = httpx.post(
            server.address + "/v1/chat/completions",
            content=pieces(),
            headers={"content-type": "application/json"},
            timeout=20,
        )
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request_too_large"
        assert "at most 2048 bytes" in answer.json()["error"]["message"]


def test_two_servers_cannot_listen_at_one_address():
    from fairlead.core.errors import ConfigError
    from fairlead.serving.server import listening
    from fairlead.serving.settings import ServeSettings

    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServeSettings(name=NAME, port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="cannot listen there"):
            listening(settings)
