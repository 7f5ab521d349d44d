"""What clients may ask for, in OpenAI's words.

Fields of OpenAI's that make no difference here are taken and left; those that would change the
answer, and unknown ones, are refused: a misspelt setting must not go unnoticed.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fairlead.records import Message, Prompt, Record
from fairlead.serving.problems import Refusal

IDLE: frozenset[str] = frozenset(
    {
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "parallel_tool_calls",
        "prediction",
    }
)
"""Known fields that make no difference to a reply of this server."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "echo": (False,),
    "best_of": (1,),
    "suffix": ("",),
    "audio": (),
    "reasoning_effort": ("none",),
    "verbosity": (),
    "web_search_options": (),
    "tool_calls": ([],),
    "annotations": ([],),
}
"""Known fields that this server does not support, with the values that ask for nothing."""


def _whole(text: str) -> str:
    """JSON can spell half of a surrogate pair, which is no character and cannot be encoded."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("the text has half of a surrogate pair, which is no unicode character")
    return text


AnyText = Annotated[str, AfterValidator(_whole)]
Text = Annotated[str, Field(min_length=1), AfterValidator(_whole)]
Short = Annotated[str, Field(max_length=200), AfterValidator(_whole)]
Comment = Annotated[str, Field(max_length=20_000), AfterValidator(_whole)]


def without_idle(given: Any, known: Mapping[str, Any]) -> Any:
    """The fields that matter; nulls count as not given.

    Raises:
        Refusal: a field that is not supported, or that nobody knows.
    """
    if not isinstance(given, Mapping):
        return given
    return {name: value for name, value in given.items() if _matters(name, value, known)}


def _matters(name: str, value: Any, known: Mapping[str, Any]) -> bool:
    if value is None or name in known:
        return value is not None
    if name in IDLE or value in NEUTRAL.get(name, ()):
        return False
    if name in NEUTRAL:
        raise Refusal(
            f"{name} is not supported by this server",
            got=_short(value),
            remedy="leave it out",
        ).at(name, "unsupported_parameter")
    raise Refusal(
        f"there is no field {name}",
        expected="one of " + ", ".join(sorted(known)),
        remedy="correct the name or leave it out",
    ).at(name, "unknown_parameter")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


class _Fields(Record):
    """A request, or a part of one, without what makes no difference."""

    @model_validator(mode="before")
    @classmethod
    def _without_idle(cls, given: Any) -> Any:
        return without_idle(given, cls.model_fields)


class TextPart(_Fields):
    """A part of a message; images and sounds are refused."""

    type: Literal["text"]
    text: AnyText


class Turn(_Fields):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: AnyText | tuple[TextPart, ...]

    @property
    def message(self) -> Message:
        """As a record; `developer` is OpenAI's newer word for `system`."""
        parts = self.content
        text = parts if isinstance(parts, str) else "".join(part.text for part in parts)
        return Message(role="system" if self.role == "developer" else self.role, content=text)


class StreamOptions(_Fields):
    """What a stream tells beside the text."""

    include_usage: bool = False
    include_obfuscation: bool = False
    """Padding against observers of the traffic; none is sent."""


class ReplyRequest(_Fields, ABC):
    """What all requests for a reply have."""

    model: str | None = None
    """None for the only one there is."""
    n: int = Field(default=1, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    """As all that is left out: what the server draws with by default."""
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(default=None, ge=0)
    """Keep so many of the likeliest tokens; 0 keeps all. Not OpenAI's, but many servers' own."""
    stop: Text | tuple[Text, ...] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    """Equal seeds give equal replies."""
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    most_stops: ClassVar[int] = 16

    @model_validator(mode="after")
    def _few_stops(self) -> Self:
        if isinstance(self.stop, tuple) and len(self.stop) > self.most_stops:
            raise ValueError(f"expected at most {self.most_stops} stop texts; got {len(self.stop)}")
        return self

    @property
    def drawing(self) -> dict[str, Any]:
        """The settings of `Sampling` that the request sets, but for the reply's length."""
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop
        given = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "stop": stop,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    @abstractmethod
    def longest(self) -> int | None:
        """Tokens of a reply at most; None where the request does not say."""

    @property
    @abstractmethod
    def top(self) -> int | None:
        """How many alternatives of each token are told; None for no probabilities at all."""


class ChatRequest(ReplyRequest):
    """Body of `POST /v1/chat/completions`."""

    messages: tuple[Turn, ...] = Field(min_length=1)
    """One that ends in an assistant's turn is continued there."""
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """OpenAI's newer word for `max_tokens`."""
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=20)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        both = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(both) > 1:
            raise ValueError("max_tokens and max_completion_tokens differ; give one of them")
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self

    @property
    def longest(self) -> int | None:
        """Tokens of a reply at most; None where the request does not say."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def top(self) -> int | None:
        """How many alternatives of each token are told; None for no probabilities at all."""
        return self.top_logprobs if self.logprobs else None

    @property
    def prompt(self) -> Prompt:
        """The conversation."""
        return Prompt(messages=tuple(turn.message for turn in self.messages))


class CompletionRequest(ReplyRequest):
    """Body of `POST /v1/completions`: text that is continued as it is, without a chat format."""

    prompt: Text | Annotated[tuple[Text, ...], Field(min_length=1, max_length=1)]
    max_tokens: int | None = Field(default=None, ge=1)
    logprobs: int | None = Field(default=None, ge=0, le=20)

    @property
    def text(self) -> str:
        """What is continued."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    @property
    def longest(self) -> int | None:
        """Tokens of a reply at most; None where the request does not say."""
        return self.max_tokens

    @property
    def top(self) -> int | None:
        """How many alternatives of each token are told; None for no probabilities at all."""
        return self.logprobs


class FeedbackRequest(Record):
    """Body of `POST /v1/feedback`: one opinion of one reply."""

    completion_id: Text
    choice: int | None = Field(default=None, ge=0)
    """Which of several replies; may be left out where there is one."""
    good: bool | None = Field(default=None, strict=True)
    """Thumb up or down."""
    score: float | None = Field(default=None, allow_inf_nan=False)
    """A level of the campaign's scale, from 1."""
    preferred: Text | None = None
    """A better reply, in the person's own words or corrected."""
    comment: Comment = ""
    user: Short = ""
    """Who says so, in the application's own words; stored as an account, exported as a pseudonym.
    Empty for everybody who is not named."""
    key: Short = ""
    """Tells several opinions of a person (or of the unnamed) on one reply apart; the same key
    again changes nothing, or revises."""

    @model_validator(mode="after")
    def _one_opinion(self) -> Self:
        given = [name for name in ("good", "score", "preferred") if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none of them"
            raise ValueError(f"expected one of good, score, preferred; got {got}")
        for name in ("preferred", "comment", "user", "key"):
            if "\0" in (getattr(self, name) or ""):
                raise ValueError(f"{name} has a NUL character, which cannot be stored")
        return self
