"""The client and whole judges against `transformers serve` with a real model."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from socket import socket

import pytest

from fairlead.core.errors import ServiceError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Question
from fairlead.judges.pairwise import Pair, PairwiseJudge, PairwiseSettings, RationaleSettings
from fairlead.judges.server import ServerRespondent, ServerSettings
from fairlead.records import Prompt

STORIES = Path(__file__).parents[2] / "../shared/models/stories260K"
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSettings]:
    if not STORIES.is_dir():
        pytest.skip("../shared/models/stories260K is not beside this checkout")
    model = tmp_path_factory.mktemp("model") / "stories"
    shutil.copytree(STORIES, model)
    config = json.loads((model / "tokenizer_config.json").read_text())
    config["chat_template"] = TEMPLATE
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(sys.executable).with_name("transformers")
    process = subprocess.Popen(
        [script, "serve", str(model), "--host", "127.0.0.1", "--port", str(port)],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process)
        yield ServerSettings(
            base_url=f"http://127.0.0.1:{port}/v1",
            model=str(model),
            concurrency=2,
            timeout_s=120,
            without_logprobs="sample",
            option_tokens=4,
        )
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
