"""Questions as requests in the form of chat completions, named by the hash of all they say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.core.errors import ConfigError
from fairlead.core.files import sha256_json
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Question
from fairlead.judges.server.settings import ServerSettings

BYTES_PER_TOKEN = 3
"""For estimates before sending; most tokenizers need fewer tokens."""
TURN_TOKENS = 8
"""For the marks around a turn."""


@dataclass(frozen=True)
class Request:
    """One request and its name."""

    question: Question
    body: Mapping[str, Any]
    key: str
    """Hash of server, model, body and sample: equal keys are one request."""
    prompt_tokens: int
    """Estimated."""
    completion_tokens: int
    """Most that the answer may have."""

    @property
    def tokens(self) -> int:
        """What it may take in all, estimated."""
        return self.prompt_tokens + self.completion_tokens


def request_of(question: Question, settings: ServerSettings) -> Request:
    """The request that asks a question.

    Raises:
        ConfigError: the prompt ends in an assistant's turn, and the settings do not say how this
            server is asked to go on with one.
    """
    fields: dict[str, Any] = {
        "model": settings.model,
        "messages": [{"role": m.role, "content": m.content} for m in question.prompt.messages],
        **(_choosing(question, settings) if question.options else _writing(question, settings)),
        **_continuing(question, settings),
        **settings.extra,
    }
    body = {name: value for name, value in fields.items() if name not in settings.omit}
    named = [settings.base_url, settings.version, body, question.options, question.sample]
    return Request(
        question=question,
        body=body,
        key=sha256_json(named),
        prompt_tokens=sum(
            TURN_TOKENS + len(m.content.encode()) // BYTES_PER_TOKEN
            for m in question.prompt.messages
        ),
        completion_tokens=fields[settings.length_field],
    )


def _writing(question: Question, settings: ServerSettings) -> dict[str, Any]:
    fields: dict[str, Any] = {
        settings.length_field: question.max_tokens,
        "temperature": question.temperature,
    }
    if question.temperature > 0:
        stream = Seed(settings.seed).child("answer", question.sample)
        fields["seed"] = stream.value % 2**31
    return fields


def _choosing(question: Question, settings: ServerSettings) -> dict[str, Any]:
    # Some servers give log-probabilities after dividing by the temperature; at 1 all agree.
    reads_text = settings.without_logprobs == "sample"
    return {
        settings.length_field: settings.option_tokens,
        "temperature": question.temperature if reads_text else 1.0,
        "logprobs": True,
        "top_logprobs": settings.top_logprobs,
    }


def _continuing(question: Question, settings: ServerSettings) -> dict[str, Any]:
    if not question.prompt.continues or settings.continuing == "as_is":
        return {}
    if settings.continuing == "refuse":
        raise ConfigError(
            "the question goes on with a reply that has begun, and not every server does that",
            where="continuing",
            expected="as_is or flags, as the server wants it",
            got="refuse",
            remedy="set `continuing` after a look into the server's manual, or use a local judge",
        )
    return {"continue_final_message": True, "add_generation_prompt": False}
