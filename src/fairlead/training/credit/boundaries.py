"""Where macro actions begin: rules for `macro_gae`."""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainSerializer, PositiveInt
from pydantic.json_schema import SkipJsonSchema
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.functional.macros import (
    drawn_starts,
    ngram_starts,
    rising_perplexity_starts,
    starts_after,
)
from fairlead.training.credit.base import Sampled


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NGram(_Rule):
    """A macro every n tokens."""

    rule: Literal["ngram"] = "ngram"
    n: PositiveInt = 5
    """Tokens of a macro; 1 credits every token by itself."""

    def __call__(self, sampled: Sampled) -> Tensor:
        """Starts, [reply, token]."""
        return ngram_starts(sampled.mask, self.n)


class RandomNGram(_Rule):
    """Macros of mixed lengths in random order; what is left of a long reply is one macro."""

    rule: Literal["random_ngram"] = "random_ngram"
    sizes: tuple[PositiveInt, ...] = Field(default=(1, 2, 3, 5, 10), min_length=1)
    """Lengths in tokens."""
    repeats: PositiveInt = 3
    """How often each length is used."""
    seed: int = 0
    """A reply is cut according to this and its own tokens, wherever it lies in a batch."""

    def __call__(self, sampled: Sampled) -> Tensor:
        """Starts, [reply, token]."""
        starts = torch.zeros_like(sampled.mask)
        for row, length in enumerate(sampled.mask.sum(1).tolist()):
            own = sampled.tokens[row, :length].tolist()
            random = Seed(self.seed).child("macros", *own).numpy()
            starts[row, :length] = drawn_starts(length, self.sizes, self.repeats, random)
        return starts


class Perplexity(_Rule):
    """A macro starts where the reference finds a token less likely than the one before."""

    rule: Literal["perplexity"] = "perplexity"

    def __call__(self, sampled: Sampled) -> Tensor:
        """Starts, [reply, token]."""
        return rising_perplexity_starts(sampled.reference, sampled.mask)


class AtTokens(_Rule):
    """A macro ends with each of some tokens, e.g. line breaks."""

    rule: Literal["at_tokens"] = "at_tokens"
    tokens: tuple[int, ...] = Field(min_length=1)
    """Ids of the tokens."""

    def __call__(self, sampled: Sampled) -> Tensor:
        """Starts, [reply, token]."""
        return starts_after(sampled.tokens, sampled.mask, self.tokens)


def _by_name(rule: Any) -> str:
    return f"{rule.__module__}.{rule.__qualname__}"


Boundaries = (
    Annotated[NGram | RandomNGram | Perplexity | AtTokens, Discriminator("rule")]
    | Annotated[
        SkipJsonSchema[Callable[[Sampled], Tensor]],
        PlainSerializer(_by_name, when_used="json", return_type=str),
    ]
)
"""A rule by its settings or, in Python, any function from `Sampled` to starts."""
