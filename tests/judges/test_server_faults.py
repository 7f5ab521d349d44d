"""A judge's client against a real server that fails in every way, and is killed, as is the client.

The server counts what it completed, by the key of the request. An answer that reached the client
whole is never asked for again; an answer that was lost on the way may be.
"""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from faulty_client import question
from faulty_server import LASTING
from serving_faults import HERE, Faulty, attempts, kept

from fairlead.judges.server import ServerSettings
from fairlead.judges.server.requests import request_of

COUNT = 2000
LOST = ("", "lost")
"""Outcomes of attempts whose answer may have been completed without reaching the client."""


def client(settings: ServerSettings, cache: Path, result: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, HERE / "faulty_client.py", settings.model_dump_json()]
    return subprocess.Popen([*command, cache, result, str(COUNT)])


def expected(item: int) -> tuple[str, list[float] | str]:
    """State and content of the answer to an item."""
    match LASTING.get(item % 100):
        case "declined" | "filtered":
            return "judge_refused", []
        case "length":
            return "truncated", "I think that" if item % 5 == 0 else []
        case "off topic":
            return "parse_fail", []
        case "always failed" | "too long":
            return "error", []
    if item % 5 == 0:
        return "scored", f"The answer to {item} is: A"
    return "scored", [item % 100 / 100, 1 - item % 100 / 100]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory):
    """2,000 questions; the server dies and comes back, then the client dies and another goes on."""
    folder = tmp_path_factory.mktemp("faults")
    cache, result = folder / "answers.sqlite", folder / "result.json"
    server = Faulty(folder / "counts.sqlite")
    settings = ServerSettings(
        base_url=server.base_url,
        model="judge-1",
        concurrency=8,
        timeout_s=4.0,
        backoff_s=0.02,
        longest_backoff_s=0.2,
        attempts=8,
        patience_s=60.0,
        without_logprobs="sample",
    )
    found = {"settings": settings}
    try:
        first = client(settings, cache, result)
        server.wait_for(400)
        server.kill()
        server.start()
        server.wait_for(1000)
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert not result.exists()
        found["kept at death"], found["received at death"] = kept(cache), server.counted("received")
        for run in ("second", "third"):
            assert client(settings, cache, result).wait(timeout=300) == 0
            found[run] = json.loads(result.read_text())
            found[f"received by {run}"] = server.counted("received")
        found |= {"completed": server.counted("completed"), "attempts": attempts(cache)}
        found["kept"] = kept(cache)
    finally:
        server.kill()
    return found


def test_every_item_ends_scored_or_in_the_state_that_is_due(story):
    for item, answer in enumerate(story["second"]["answers"]):
        state, content = expected(item)
        assert answer["state"] == state, (item, answer)
        if isinstance(content, str):
            assert answer["text"] == content
        else:
            assert answer["probabilities"] == pytest.approx(content, abs=1e-9), item
    states = Counter(answer["state"] for answer in story["second"]["answers"])
    counted = {"judge_refused": 40, "error": 40, "truncated": 20, "parse_fail": 20}
    assert states == {"scored": 1880, **counted}


def test_no_answer_that_arrived_is_paid_twice(story):
    lost = Counter()
    for (key, outcome), count in story["attempts"].items():
        if outcome in LOST:
            lost[key] += count
    completed = story["completed"]
    assert len(completed) >= len(story["kept"]) == 1940
    assert {key: n for key, n in completed.items() if n > 1 + lost[key]} == {}
    surely = [key for key in story["kept"] if not lost[key]]
    assert len(surely) > 1000
    assert {completed[key] for key in surely} == {1}
    assert max(story["attempts"][key, "answered"] for key in story["kept"]) == 1


def test_every_kind_of_fault_was_met(story):
    met = Counter()
    for (_, outcome), count in story["attempts"].items():
        met[outcome] += count
    assert met["answered"] == 1940
    assert min(met[kind] for kind in ("away", "busy", "lost", "failed", "unusable")) > 0
    assert min(met["declined"], met["unfit"]) >= 20
    assert met[""] <= 8  # under way when the client was killed


def test_a_killed_client_asks_only_for_what_is_missing(story):
    known = story["kept at death"]
    assert 900 < len(known) < 1940
    before, after = story["received at death"], story["received by second"]
    assert {key for key in known if after[key] != before[key]} == set()


def test_a_third_run_asks_nothing_again_but_what_never_had_an_answer(story):
    again = story["received by third"] - story["received by second"]
    unanswerable = {
        request_of(question(i), story["settings"]).key
        for i in range(COUNT)
        if LASTING.get(i % 100) in ("filtered", "always failed", "too long")
    }
    assert set(again) == unanswerable
    assert story["third"]["answers"] == story["second"]["answers"]


def test_what_was_paid_is_the_same_for_resumed_runs(story):
    prompt_tokens, completion_tokens = story["third"]["spent"]
    # 40 and 1 for each answer, as the server says; unusable answers with a bill add to it.
    assert prompt_tokens >= 40 * 1940 and prompt_tokens == 40 * completion_tokens
    assert story["second"]["spent"] == story["third"]["spent"]
