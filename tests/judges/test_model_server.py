"""Judges behind real model servers: `transformers serve` and `fairlead serve`."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket

import pytest

from fairlead.core.errors import ServiceError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Question
from fairlead.judges.local import LocalRespondent
from fairlead.judges.pairwise import Pair, PairwiseJudge, PairwiseSettings, RationaleSettings
from fairlead.judges.server import ServerRespondent, ServerSettings
from fairlead.models.loading import load_policy
from fairlead.records import Message, Prompt

STORIES = Path(__file__).parents[2] / "../shared/models/stories260K"
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def stories() -> None:
    if not STORIES.is_dir():
        pytest.skip("../shared/models/stories260K is not beside this checkout")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSettings]:
    model = tmp_path_factory.mktemp("model") / "stories"
    shutil.copytree(STORIES, model)
    config = json.loads((model / "tokenizer_config.json").read_text())
    config["chat_template"] = TEMPLATE
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    # The server draws words only where the model's own settings do.
    drawing = json.loads((model / "generation_config.json").read_text()) | {"do_sample": True}
    (model / "generation_config.json").write_text(json.dumps(drawing))
    with serving("transformers", "serve", model) as base_url:
        yield ServerSettings(
            base_url=base_url,
            model=str(model),
            concurrency=2,
            timeout_s=120,
            without_logprobs="sample",
            option_tokens=4,
        )


@contextmanager
def serving(command: str, *arguments: object) -> Iterator[str]:
    """A server as a process of its own; its base URL."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(sys.executable).with_name(command)
    process = subprocess.Popen(
        [script, *map(str, arguments), "--host", "127.0.0.1", "--port", str(port)],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(address, timeout=5).read()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise TimeoutError("the server does not answer")


def story(sample: int = 0, temperature: float = 0.0) -> Question:
    prompt = Prompt.of("Once upon a time, there was a little dog named")
    return Question(prompt=prompt, max_tokens=24, temperature=temperature, sample=sample)


def test_words_of_a_real_model(server, tmp_path):
    """The model's card shows how this story begins."""
    respondent = ServerRespondent(server, cache=tmp_path / "c.sqlite")
    greedy, one, two, again = respondent.ask([story(), story(0, 1.0), story(1, 1.0), story(0, 1.0)])
    assert greedy.text.strip().startswith("Max. Max loved to play")
    assert greedy.state == "truncated"
    assert (greedy.prompt_tokens > 10, greedy.completion_tokens) == (True, 24)
    assert one.text != two.text and one == again
    asked = ServerRespondent(server, cache=tmp_path / "c.sqlite")
    assert asked.ask([story(), story(1, 1.0)]) == [greedy, two]
    assert asked.spent == (greedy.prompt_tokens + two.prompt_tokens, 48)


def test_a_model_that_cannot_judge_ends_in_named_states(server):
    """It only tells stories: whatever it says, nothing passes for a verdict by accident."""
    judge = PairwiseJudge([ServerRespondent(server)], seed=Seed(0))
    pairs = [Pair(Prompt.of(f"What is {i} + 1?"), str(i + 1), "a dog") for i in range(3)]
    outcomes = judge.compare([*pairs, *(pair.swapped for pair in pairs)])
    assert {o.state for o in outcomes} <= {"scored", "parse_fail", "truncated"}
    for there, back in zip(outcomes[:3], outcomes[3:], strict=True):
        assert there.state == back.state
        assert there.label is None or there.label == 1 - back.label
        assert there.completion_tokens > 0


def test_a_rationale_is_written_by_a_real_model(server):
    settings = PairwiseSettings(rationale=RationaleSettings(max_tokens=8))
    judge = PairwiseJudge([ServerRespondent(server)], settings, seed=Seed(0))
    (outcome,) = judge.compare([Pair(Prompt.of("Hi"), "Hello", "Go away")])
    assert outcome.state in ("truncated", "parse_fail", "scored")
    assert outcome.completion_tokens > 0


def test_a_server_without_logprobs_is_noticed(server):
    respondent = ServerRespondent(server.model_copy(update={"without_logprobs": "refuse"}))
    with pytest.raises(ServiceError, match="gives no log-probabilities"):
        respondent.ask([Question(prompt=Prompt.of("Once"), options=("a", "b"))])


def test_another_model_than_the_server_has_is_refused(server):
    respondent = ServerRespondent(server.model_copy(update={"model": "nobody/nothing"}))
    with pytest.raises(ServiceError, match="refuses to answer"):
        respondent.ask([story()])


def test_a_model_behind_a_server_chooses_as_it_does_in_this_process():
    """Each option is one token to it; a server shows those among its twenty likeliest."""
    words = ("The", "the", "He", "he", "She", "she", "It", "it", "A", "a")
    said = [Message(role="user", content=f"What did the {what} do?") for what in ("dog", "sun")]
    asked = [Question(prompt=Prompt(messages=(turn,)), options=words) for turn in said]
    asked += [Question(prompt=Prompt(messages=(turn,)), max_tokens=12) for turn in said]
    local = LocalRespondent(load_policy(STORIES), seed=Seed(0)).ask(asked)
    with serving("fairlead", "serve", STORIES) as base_url:
        settings = ServerSettings(base_url=base_url, model=STORIES.name)
        remote = ServerRespondent(settings).ask(asked)
    for here, there in zip(local[:2], remote[:2], strict=True):
        shares = [
            p if q else 0.0 for p, q in zip(here.probabilities, there.probabilities, strict=True)
        ]
        assert there.probabilities == pytest.approx([p / sum(shares) for p in shares], rel=1e-4)
        assert sum(1 for p in shares if p) >= 2
        assert there.mass == pytest.approx(here.mass * sum(shares), rel=1e-4)
    assert [a.text for a in local[2:]] == [a.text for a in remote[2:]]
    assert [a.state for a in local] == [a.state for a in remote]
    assert [a.prompt_tokens for a in local] == [a.prompt_tokens for a in remote]
