"""Macro actions: stretches of a reply that are credited as one. Chai et al. 2024, arXiv:2410.02743.

Rules say where macros *start*; tensors are [reply, token], and the first token always starts one.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fairlead.functional.advantages import generalised_advantages

Weights = Literal["equal", "unit", "position"]


class MacroCredit(NamedTuple):
    """Credit at macro level, one column per macro of a reply."""

    advantages: Float[Tensor, "reply macro"]
    returns: Float[Tensor, "reply macro"]


def ngram_starts(mask: Bool[Tensor, "reply token"], n: int) -> Bool[Tensor, "reply token"]:
    """A macro every `n` tokens; the last one takes what is left."""
    place = torch.arange(mask.shape[1], device=mask.device)
    return mask & (place % n == 0)


def drawn_starts(
    length: int, sizes: Sequence[int], repeats: int, random: np.random.Generator
) -> Bool[Tensor, " token"]:
    """Macros of the given sizes, each `repeats` times, in random order; the rest is one macro."""
    order = random.permutation(np.repeat(np.array(sizes), repeats))
    starts = np.concatenate([[0], np.cumsum(order)])
    return torch.tensor(np.isin(np.arange(length), starts))


def rising_perplexity_starts(
    logp: Float[Tensor, "reply token"], mask: Bool[Tensor, "reply token"]
) -> Bool[Tensor, "reply token"]:
    """A macro starts at every token that is less likely than the one before it."""
    starts = torch.zeros_like(mask)
    starts[:, 0] = True
    starts[:, 1:] = logp[:, 1:] < logp[:, :-1]
    return starts & mask


def starts_after(
    tokens: Int[Tensor, "reply token"], mask: Bool[Tensor, "reply token"], ends: Sequence[int]
) -> Bool[Tensor, "reply token"]:
    """A macro ends with each of the tokens `ends`, e.g. line breaks or full stops."""
    marked = torch.isin(tokens, torch.tensor(list(ends), device=tokens.device, dtype=tokens.dtype))
    starts = torch.zeros_like(mask)
    starts[:, 0] = True
    starts[:, 1:] = marked[:, :-1]
    return starts & mask


def numbered(starts: Bool[Tensor, "reply token"]) -> Int[Tensor, "reply token"]:
    """The number of each token's macro within its reply, from 0."""
    return (starts.cumsum(1) - 1).clamp(min=0)


def macro_sums(
    x: Float[Tensor, "reply token"],
    mask: Bool[Tensor, "reply token"],
    macros: Int[Tensor, "reply token"],
) -> Float[Tensor, "reply macro"]:
    """Sums over the tokens of each macro."""
    count = int(macros.max()) + 1 if macros.numel() else 0
    return x.new_zeros(len(x), count).scatter_add(1, macros, torch.where(mask, x, 0.0))


def macro_values(
    values: Float[Tensor, "reply token"],
    mask: Bool[Tensor, "reply token"],
    macros: Int[Tensor, "reply token"],
    weights: Weights = "equal",
) -> Float[Tensor, "reply macro"]:
    """The value of each macro: a weighted mean of those of its tokens.

    Weights are the same for all ("equal"), 1 for the last token alone ("unit"), or fall as
    1/(place in the macro) ("position").
    """
    weight = torch.where(mask, _token_weights(mask, macros, weights).to(values.dtype), 0.0)
    total = macro_sums(weight, mask, macros)
    return macro_sums(values * weight, mask, macros) / torch.where(total > 0, total, 1.0)


def _token_weights(
    mask: Bool[Tensor, "reply token"], macros: Int[Tensor, "reply token"], weights: Weights
) -> Tensor:
    if weights == "equal":
        return torch.ones_like(macros)
    if weights == "unit":
        following = torch.full_like(macros, -1)
        following[:, :-1] = torch.where(mask, macros, -1)[:, 1:]
        return macros != following
    columns = torch.arange(macros.shape[1], device=macros.device).expand_as(macros)
    first = torch.full_like(macros, macros.shape[1]).scatter_reduce(1, macros, columns, "amin")
    return 1.0 / (columns - first.gather(1, macros) + 1)


def macro_advantages(
    rewards: Float[Tensor, "reply token"],
    values: Float[Tensor, "reply token"],
    mask: Bool[Tensor, "reply token"],
    macros: Int[Tensor, "reply token"],
    *,
    gamma: float,
    lam: float,
    weights: Weights = "equal",
) -> MacroCredit:
    """Advantages and returns by generalised advantage estimation over macros.

    The reward of a macro is the sum of its tokens' rewards: a reply's score is never divided by the
    length of its last macro.
    """
    exists = macro_sums(mask.to(rewards.dtype), mask, macros) > 0
    credit = generalised_advantages(
        macro_sums(rewards, mask, macros),
        macro_values(values, mask, macros, weights),
        exists,
        gamma=gamma,
        lam=lam,
    )
    return MacroCredit(*credit)


def over_tokens(
    x: Float[Tensor, "reply macro"],
    mask: Bool[Tensor, "reply token"],
    macros: Int[Tensor, "reply token"],
) -> Float[Tensor, "reply token"]:
    """Each macro's number at all of its tokens, 0 behind the reply."""
    return torch.where(mask, x.gather(1, macros), 0.0)
