"""How a model behind an OpenAI-compatible server is asked, and what it may cost."""

import os
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

from fairlead.core.errors import ConfigError

MILLION = 1_000_000


class Price(BaseModel):
    """What tokens cost, in any currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: NonNegativeFloat = 0.0
    """Per million tokens of prompts."""
    completion: NonNegativeFloat = 0.0
    """Per million tokens of answers."""

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Money for so many tokens."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / MILLION


class Budget(BaseModel):
    """What all answers together may cost, those from the cache included.

    So a resumed run stops where an unbroken one would have stopped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: PositiveInt | None = None
    """Of prompts and answers together; None for no limit."""
    money: PositiveFloat | None = None
    """In the currency of the price; None for no limit."""


class ServerSettings(BaseModel):
    """An OpenAI-compatible server and a model on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str
    """Address up to and including the version: `https://api.example.org/v1`."""
    model: str = Field(min_length=1)
    """Name of the model on that server."""
    version: str = ""
    """Part of the cache's key: change it when another model answers under the same name."""
    key_env: str = ""
    """Environment variable that holds the key; empty where the server wants none. The key itself is
    written nowhere."""
    concurrency: PositiveInt = 8
    """Requests under way at once."""
    timeout_s: PositiveFloat = 60.0
    """Seconds to wait for a whole answer."""
    attempts: PositiveInt = 6
    """How often one request is sent at most. Not counted: refused connections, and answers that ask
    to come back later."""
    backoff_s: PositiveFloat = 0.5
    """Seconds before the second attempt; doubled each time, times a random factor from 0.5 to 1."""
    longest_backoff_s: PositiveFloat = 30.0
    """Most seconds between two attempts, unless the server asks for more."""
    patience_s: PositiveFloat = 300.0
    """Seconds to go on while the server is away or asks to come back later."""
    requests_per_minute: PositiveInt | None = None
    """Requests are spread evenly so that there are no more; None for no limit."""
    tokens_per_minute: PositiveInt | None = None
    """The same for tokens, estimated before sending; None for no limit."""
    price: Price = Price()
    budget: Budget = Budget()
    top_logprobs: int = Field(default=20, ge=1)
    """Likeliest tokens to ask for where options are given; an option beyond them counts as 0."""
    without_logprobs: Literal["refuse", "sample"] = "refuse"
    """What to do where the server gives no log-probabilities: end the run, or take the one option
    that the answer's text names, with probability 1."""
    option_tokens: PositiveInt = 1
    """Longest answer where options are given; more than 1 helps only where texts are read."""
    continuing: Literal["refuse", "as_is", "flags"] = "refuse"
    """How a prompt is sent that ends in an assistant's turn: not at all; as it is, for servers that
    go on with the last turn; or with `continue_final_message` and `add_generation_prompt`."""
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls the longest answer."""
    omit: tuple[str, ...] = ()
    """Fields of requests that the server refuses, such as `seed` or `temperature`."""
    extra: dict[str, Any] = {}
    """Further fields of every request, such as `chat_template_kwargs`."""
    seed: NonNegativeInt = 0
    """Of waiting times and, where an answer is drawn, of the `seed` sent along."""

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected an address such as https://api.example.org/v1, got {value}")
        if parts.username or parts.password or parts.query:
            raise ValueError("an address must hold no password and no query; use key_env for keys")
        return value.rstrip("/")

    @property
    def host(self) -> str:
        """Where it is."""
        return urlsplit(self.base_url).netloc

    def key(self) -> str:
        """The key from the environment; empty where none is wanted.

        Raises:
            ConfigError: the variable is not set.
        """
        if not self.key_env:
            return ""
        key = os.environ.get(self.key_env, "")
        if not key:
            raise ConfigError(
                "the key of the judge's server is not set",
                where="key_env",
                expected=f"a key in the environment variable {self.key_env}",
                remedy=f"export {self.key_env}=...; leave key_env out for servers without keys",
            )
        return key
