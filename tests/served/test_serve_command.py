"""`fairlead serve` as people start it."""

import os
import re
import signal
import subprocess
import sys
import threading

import httpx
import openai
import pytest
from typer.testing import CliRunner

from fairlead.cli.main import app
from fairlead.models.loading import save_policy, save_reward_model
from small_world import prompts, tiny_policy, tiny_reward_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    save_policy(tiny_policy(), root / "dpo" / "model")
    save_reward_model(tiny_reward_model(), root / "reward" / "model")
    return root


def test_a_server_is_started_asked_and_ended(folder):
    arguments = [str(folder / "dpo" / "model"), "--port", "0", "--api-key-env", "SERVED_KEY"]
    arguments += ["--feedback", str(folder / "labels.db"), "--campaign", "chat"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fairlead.cli.main", "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "SERVED_KEY": "open"},
    )
    logged = []
    reader = threading.Thread(target=lambda: logged.extend(process.stderr))
    reader.start()
    line = process.stdout.readline()
    address = re.fullmatch(r"Serving dpo on (http://127\.0\.0\.1:\d+/v1); .*\n", line)[1]
    question = prompts(1)[0].first_user_turn
    with openai.OpenAI(base_url=address, api_key="open", max_retries=0) as client:
        (model,) = client.models.list()
        told = [{"role": "user", "content": question}]
        answer = client.chat.completions.create(model=model.id, messages=told, max_tokens=9)
        opinion = {"completion_id": answer.id, "good": True}
        assert client.post("/feedback", body=opinion, cast_to=dict)["status"] == "stored"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == -signal.SIGTERM
    reader.join()
    process.stdout.close()
    process.stderr.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(address + "/models")
    log = "".join(logged)
    assert log.count("POST /v1/chat/completions 200") == 1
    assert question not in log and "Traceback" not in log


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", "0.0.0.0"), "could use the server without a key"),
        (("--api-key-env", "NO_SUCH_KEY"), "export NO_SUCH_KEY="),
        (("--reward", "reward/model"), "no decoder that would use it"),
        (("--decoder", "best_of_m"), "there is no decoder 'best_of_m'"),
        (("--decoder", "best_of_n"), "chooses by a reward, and there is none"),
        (("--decoder", "best_of_n", "--set", "m=3"), "settings among"),
        (("--rows", "0"), "--rows"),
        (("--timeout", "-1"), "--timeout"),
        (("--feedback", "no/such/folder/labels.db"), "the database cannot be made"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_served(folder, monkeypatch, options, words):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["serve", "dpo/model", "--port", "0", *options])
    assert result.exit_code == 1
    assert words in result.stderr
