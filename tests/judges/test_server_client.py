"""What a client of a server does with refusals, budgets, limits and missing log-probabilities."""

import json
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from faulty_client import question
from pydantic import ValidationError
from serving_faults import Faulty, kept

from fairlead.core.errors import ConfigError, DataError, ServiceError
from fairlead.judges.asking import Question
from fairlead.judges.server import Budget, Price, ServerRespondent, ServerSettings
from fairlead.judges.server.cache import AnswerCache
from fairlead.records import Message, Prompt

SECRET = "sk-very-secret-0123456789"
CHOICES = [question(i) for i in range(21, 25)]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Faulty]]:
    running: list[Faulty] = []

    def start(faults: str) -> Faulty:
        running.append(Faulty(tmp_path / "counts.sqlite", faults))
        return running[-1]

    yield start
    for server in running:
        server.kill()


def settings_for(server: Faulty, **settings) -> ServerSettings:
    usual = {"concurrency": 4, "timeout_s": 5.0, "backoff_s": 0.01, "attempts": 3}
    return ServerSettings(base_url=server.base_url, model="judge-1", **(usual | settings))


def test_answers_come_in_the_order_of_the_questions_and_equal_ones_are_asked_once(serve):
    server = serve("none")
    respondent = ServerRespondent(settings_for(server))
    answers = respondent.ask([*CHOICES, CHOICES[0], question(30)])
    firsts = [a.probabilities[0] for a in answers[:5]]
    assert firsts == pytest.approx([0.21, 0.22, 0.23, 0.24, 0.21])
    assert [a.mass for a in answers[:5]] == pytest.approx([0.9] * 5)
    assert answers[5].text == "The answer to 30 is: A"
    assert (answers[0].prompt_tokens, answers[0].completion_tokens) == (40, 1)
    assert server.counted("received").total() == 5
    assert respondent.spent == (200, 5)
    respondent.ask([*CHOICES])
    assert server.counted("received").total() == 5
    assert respondent.spent == (200, 5)
    assert respondent.name == f"judge-1 at 127.0.0.1:{server.port}"


def test_other_samples_are_other_requests(serve):
    server = serve("none")
    asked = [q.model_copy(update={"sample": k}) for q in CHOICES for k in range(3)]
    ServerRespondent(settings_for(server)).ask(asked)
    assert set(server.counted("completed").values()) == {1}
    assert len(server.counted("completed")) == 12


@pytest.mark.parametrize(
    ("faults", "got", "remedy"),
    [
        ("unauthorised", "HTTP 401: Incorrect API key provided: (key)", "set a valid key"),
        ("unknown model", "HTTP 404: no such model", "correct `model`"),
        ("bad request", "HTTP 400: top_logprobs is not supported", "`omit`"),
        ("no quota", "HTTP 429: pay first", "quota"),
        ("closed for today", "HTTP 429: tomorrow, asked to wait 86400 s", "patience_s"),
        ("no logprobs", "an answer without", "without_logprobs: sample"),
    ],
)
def test_what_no_question_survives_ends_the_run_at_once(serve, monkeypatch, faults, got, remedy):
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    server = serve(faults)
    respondent = ServerRespondent(settings_for(server, key_env="JUDGE_KEY", patience_s=5.0))
    with pytest.raises(ServiceError) as caught:
        respondent.ask([question(i) for i in range(1, 1000, 5)])
    assert caught.value.got == got
    assert remedy in caught.value.remedy
    assert caught.value.where == f"judge-1 at {server.base_url}"
    assert server.counted("received").total() <= 4


def test_what_was_answered_before_a_fatal_refusal_is_kept(serve, tmp_path):
    server = serve("unauthorised after ten")
    respondent = ServerRespondent(settings_for(server), cache=tmp_path / "c.sqlite")
    with pytest.raises(ServiceError, match="refuses"):
        respondent.ask([question(i) for i in range(40)])
    assert len(kept(tmp_path / "c.sqlite")) == 10
    assert server.counted("received").total() <= 10 + 4


def test_a_server_that_stays_away_ends_the_run(serve):
    server = serve("none")
    server.kill()
    respondent = ServerRespondent(settings_for(server, patience_s=0.3))
    begun = time.monotonic()
    with pytest.raises(ServiceError, match="does not come back"):
        respondent.ask(CHOICES)
    assert time.monotonic() - begun >= 0.3
    server.start()
    assert [a.state for a in respondent.ask(CHOICES)] == ["scored"] * 4


def test_failures_end_as_errors_after_all_attempts(serve):
    server = serve("garbage")
    (answer,) = ServerRespondent(settings_for(server)).ask(CHOICES[:1])
    assert answer.state == "error" and answer.probabilities == ()
    assert answer.detail.startswith("attempt 3: not a chat completion")
    assert "not JSON at all" in answer.detail
    assert server.counted("received").total() == 3


def test_texts_are_read_where_there_are_no_logprobs(serve):
    server = serve("no logprobs")
    settings = settings_for(server, without_logprobs="sample", option_tokens=16)
    (answer,) = ServerRespondent(settings).ask(CHOICES[:1])
    assert (answer.state, answer.probabilities, answer.mass) == ("scored", (1.0, 0.0), None)


# Budget and limits


def test_a_budget_of_tokens_is_kept_and_the_rest_is_named(serve, tmp_path):
    server = serve("none")
    # An item takes 41 tokens; one more than the 12th would pass.
    settings = settings_for(server, budget=Budget(tokens=41 * 12 + 18), concurrency=1)
    respondent = ServerRespondent(settings, cache=tmp_path / "c.sqlite")
    asked = [question(i) for i in range(21, 60) if i % 5]
    answers = respondent.ask(asked)
    assert [a.state for a in answers[:12]] == ["scored"] * 12
    assert {a.state for a in answers[12:]} == {"over_budget"}
    assert sum(respondent.spent) == 41 * 12
    again = ServerRespondent(settings, cache=tmp_path / "c.sqlite")
    assert [a.state for a in again.ask(asked)] == [a.state for a in answers]
    assert server.counted("received").total() == 12


def test_a_budget_of_money_counts_prices(serve):
    server = serve("none")
    price = Price(prompt=1000.0, completion=10_000.0)  # 0.04 + 0.01 for each answer
    settings = settings_for(server, price=price, budget=Budget(money=0.5), concurrency=3)
    told = []
    respondent = ServerRespondent(settings, progress=told.append)
    answers = respondent.ask([question(i) for i in range(21, 60) if i % 5])
    scored = [a for a in answers if a.state == "scored"]
    assert len(scored) == 10
    assert told[-1].done == told[-1].total == len(answers)
    assert told[-1].money == pytest.approx(0.5)
    assert told[-1].tokens == 410


def test_requests_are_spread_over_the_minute(serve):
    server = serve("none")
    respondent = ServerRespondent(settings_for(server, requests_per_minute=600))
    respondent.ask([question(i) for i in (21, 22, 23, 24, 26)])
    with sqlite3.connect(server.counts) as connection:
        times = [at for (at,) in connection.execute("SELECT at FROM received ORDER BY at")]
    gaps = [b - a for a, b in pairwise(times)]
    assert times[-1] - times[0] > 0.35 and sum(gaps) / len(gaps) > 0.09  # 0.1 s apart


# The key


def test_the_key_is_written_nowhere(serve, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-0123456789")
    caplog.set_level(logging.DEBUG)
    server = serve("none")
    settings = settings_for(server, key_env="JUDGE_KEY")
    respondent = ServerRespondent(settings, cache=tmp_path / "c.sqlite")
    respondent.ask(CHOICES)
    respondent.close()
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    for secret in (SECRET, "sk-another"):
        assert secret.encode() not in held
        assert secret not in caplog.text
        assert secret not in settings.model_dump_json() + repr(vars(respondent))


def test_a_key_that_is_not_set_is_refused_before_anything_is_asked(monkeypatch):
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    settings = ServerSettings(base_url="http://127.0.0.1:1/v1", model="m", key_env="JUDGE_KEY")
    with pytest.raises(ConfigError, match="environment variable JUDGE_KEY"):
        ServerRespondent(settings)


def test_without_the_package_the_error_names_the_extra():
    code = """
import sys
sys.modules["openai"] = None
from fairlead.judges.server import ServerRespondent, ServerSettings
from fairlead.core.errors import ConfigError
try:
    ServerRespondent(ServerSettings(base_url="http://127.0.0.1:1/v1", model="m"))
except ConfigError as error:
    print(error.remedy)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install 'fairlead[judge]'"


@pytest.mark.parametrize(
    "url", ["api.example.org/v1", "https://user:pass@example.org/v1", "https://x.org/v1?key=1"]
)
def test_addresses_that_are_none_or_hold_secrets_are_refused(url):
    with pytest.raises(ValidationError):
        ServerSettings(base_url=url, model="m")


# Requests


def test_a_prompt_that_goes_on_needs_to_know_how(serve):
    server = serve("none")
    turns = (
        Message(role="user", content="item 21"),
        Message(role="assistant", content="The better reply is"),
    )
    asked = Question(prompt=Prompt(messages=turns), options=("A", "B"))
    with pytest.raises(ConfigError, match="reply that has begun"):
        ServerRespondent(settings_for(server)).ask([asked])
    (answer,) = ServerRespondent(settings_for(server, continuing="as_is")).ask([asked])
    assert answer.probabilities[0] == pytest.approx(0.21)


# The cache


def test_caches_hold_answers_and_refuse_other_files(tmp_path):
    cache = AnswerCache(tmp_path / "deep" / "c.sqlite")
    attempt = cache.begin("k")
    assert cache.body("k") is None and cache.paid("k") == (0, 0)
    cache.keep("k", attempt, json.dumps({"ä": 1}), (40, 2))
    cache.end(cache.begin("k"), "lost", (3, 0))
    cache.close()
    again = AnswerCache(tmp_path / "deep" / "c.sqlite")
    assert again.body("k") == '{"\\u00e4": 1}' and again.paid("k") == (43, 2)
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one " * 20)
    with pytest.raises(DataError, match="not a cache"):
        AnswerCache(tmp_path / "text")
    with sqlite3.connect(tmp_path / "newer") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(DataError, match="not a cache"):
        AnswerCache(tmp_path / "newer")


def test_a_loop_that_runs_already_is_no_obstacle(serve):
    import asyncio

    respondent = ServerRespondent(settings_for(serve("none")))

    async def notebook():
        return respondent.ask(CHOICES)

    assert len(asyncio.run(notebook())) == 4
