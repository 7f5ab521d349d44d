"""From the body of an HTTP answer to what was said; what is no chat completion is refused."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fairlead.judges.asking import Answer, Question
from fairlead.judges.server.failures import SHOWN, Failure
from fairlead.judges.server.options import named, shares
from fairlead.judges.server.requests import BYTES_PER_TOKEN, Request


class _Part(BaseModel):
    """Of an answer; servers add fields of their own."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Likely(_Part):
    token: str
    logprob: float


class _Place(_Likely):
    top_logprobs: tuple[_Likely, ...] = ()


class _Logprobs(_Part):
    content: tuple[_Place, ...] | None = None


class _Message(_Part):
    content: str | None = None
    refusal: str | None = None


class _Choice(_Part):
    message: _Message
    finish_reason: Literal["stop", "length", "content_filter"]
    logprobs: _Logprobs | None = None


class _Usage(_Part):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class Completion(_Part):
    """A whole chat completion, as far as it is used."""

    model: str = ""
    """What the server says that answered."""
    choices: tuple[_Choice, ...] = Field(min_length=1)
    usage: _Usage | None = None


def read(text: str) -> Completion:
    """The chat completion that a body holds.

    Raises:
        Failure: `unusable`: not JSON, no choices, an unknown end, or nothing said.
    """
    try:
        found = Completion.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "body"
        detail = f"not a chat completion ({place}: {first['msg']}): {text[:SHOWN]!r}"
        raise Failure("unusable", detail, tokens=_counted(text)) from None
    choice = found.choices[0]
    said = choice.message.content or choice.finish_reason != "stop" or choice.message.refusal
    if not (said or _likely(choice)):
        detail = "an answer without words"
        raise Failure("unusable", detail, tokens=_counted(text))
    return found


def tokens_of(found: Completion, request: Request) -> tuple[int, int]:
    """Tokens of prompt and answer as the server counts them, or else estimated."""
    if found.usage is not None:
        return found.usage.prompt_tokens, found.usage.completion_tokens
    said = found.choices[0].message.content or ""
    return request.prompt_tokens, 1 + len(said.encode()) // BYTES_PER_TOKEN


def answer_of(found: Completion, request: Request) -> Answer:
    """What a completion answers."""
    prompt_tokens, completion_tokens = tokens_of(found, request)
    fields = _declined_fields(found.choices[0]) or (
        _chosen(found.choices[0], request.question)
        if request.question.options
        else _written(found.choices[0])
    )
    return Answer(**fields, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)


def gives_logprobs(found: Completion) -> bool:
    """Whether log-probabilities came along."""
    return bool(_likely(found.choices[0]))


def _written(choice: _Choice) -> dict[str, Any]:
    text = choice.message.content or ""
    if choice.finish_reason == "length":
        return {"state": "truncated", "text": text, "detail": "cut off by the longest answer"}
    return {"text": text}


def _chosen(choice: _Choice, question: Question) -> dict[str, Any]:
    options, likely = question.options, _likely(choice)
    if likely:
        probabilities, mass = shares([(one.token, one.logprob) for one in likely], options)
        if not probabilities:
            words = ", ".join(repr(one.token) for one in likely[:5])
            return {"state": "parse_fail", "mass": 0.0, "detail": f"likeliest words: {words}"}
        return {"probabilities": probabilities, "mass": mass}
    text = choice.message.content or ""
    option = named(text, options)
    if option is None:
        cut = choice.finish_reason == "length"
        return {"state": "truncated" if cut else "parse_fail", "detail": f"said {text[:SHOWN]!r}"}
    return {"probabilities": tuple(float(i == option) for i in range(len(options)))}


def _declined_fields(choice: _Choice) -> dict[str, Any] | None:
    if not _declined(choice):
        return None
    why = choice.message.refusal or "ended by the server's content filter"
    return {"state": "judge_refused", "detail": why[:SHOWN]}


def _declined(choice: _Choice) -> bool:
    return bool(choice.message.refusal) or choice.finish_reason == "content_filter"


def _likely(choice: _Choice) -> tuple[_Likely, ...]:
    """The likeliest first tokens."""
    places = choice.logprobs.content if choice.logprobs else None
    return (places[0].top_logprobs or places[:1]) if places else ()


def _counted(text: str) -> tuple[int, int]:
    """Tokens that an unusable answer says it took."""
    try:
        usage = _Counted.model_validate_json(text).usage
    except ValidationError:
        return 0, 0
    return (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)


class _Counted(_Part):
    usage: _Usage | None = None
