"""What sampling is asked for, what it gives back, and the choice of one token.

Top-p (nucleus) sampling: Holtzman et al. 2019, arXiv:1904.09751. Top-k: Fan et al. 2018,
arXiv:1805.04833.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.data.chat import Ids

Finish = Literal["eos", "stop", "length"]


class Sampling(BaseModel):
    """How tokens are drawn and when a reply ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_new_tokens: PositiveInt
    """Longest reply in tokens, its EOS included."""
    temperature: NonNegativeFloat = 1.0
    """Divides the logits; 0 takes the most likely token (and leaves `top_p`, `top_k` no effect)."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Keep the fewest most likely tokens that hold this much probability; 1 keeps all."""
    top_k: NonNegativeInt = 0
    """Keep this many of the most likely tokens; 0 keeps all. Applied before `top_p`."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts that end a reply; the token that completes one is kept."""


@dataclass(frozen=True)
class Rollout:
    """One sampled reply."""

    prompt_index: int
    """Which of the given prompts it answers."""
    sample: int
    """Which of the prompt's `n` samples it is."""
    prompt: Ids
    tokens: Ids
    """The reply, with its EOS where it produced one."""
    logps: tuple[float, ...]
    """Log-probability in nats of each token under the distribution it was drawn from: after
    temperature and truncation, renormalised. Greedy replies have those at temperature 1."""
    finish: Finish


class Engine(Protocol):
    """Samples replies from a policy."""

    def sample(
        self, prompts: Sequence[Ids], sampling: Sampling, *, n: int, seed: Seed
    ) -> list[Rollout]:
        """`n` replies to each prompt, ordered by prompt and then by sample."""
        ...


def choose(logits: Tensor, sampling: Sampling, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """The next token of each row and its log-probability in nats.

    Args:
        logits: [row, vocabulary].
        sampling: temperature and truncation.
        uniforms: [row], float64 in [0, 1): the only randomness, one number per row.

    Returns:
        Tokens [row] and log-probabilities [row], of the distribution drawn from (greedy: of the
        distribution at temperature 1).
    """
    wide = logits if logits.dtype == torch.float64 else logits.float()
    if sampling.temperature == 0:
        tokens = wide.argmax(-1)
        return tokens, _taken(wide.log_softmax(-1), tokens)
    wide = wide if sampling.temperature == 1 else wide / sampling.temperature
    if sampling.top_k == 0 and sampling.top_p == 1:
        wide = wide - wide.amax(-1, keepdim=True)
        tokens, total = draw(wide, uniforms)
        return tokens, (_taken(wide, tokens) - total.log()).to(wide.dtype)
    logps, vocabulary = truncated(wide.log_softmax(-1), top_k=sampling.top_k, top_p=sampling.top_p)
    places, _ = draw(logps, uniforms)
    return _taken(vocabulary, places), _taken(logps, places)


def truncated(logps: Tensor, *, top_k: int, top_p: float) -> tuple[Tensor, Tensor]:
    """The most likely tokens, renormalised.

    Args:
        logps: [row, vocabulary], normalised.
        top_k: how many to keep at most; 0 for no limit.
        top_p: the kept tokens are the fewest that hold this share of what `top_k` left.

    Returns:
        Log-probabilities [row, place] from the most likely down, minus infinity where a token was
        cut, and the token at each place [row, place].
    """
    if 0 < top_k < logps.shape[-1]:
        ranked, vocabulary = logps.topk(top_k, dim=-1)
        ranked = ranked.log_softmax(-1)
    else:
        ranked, vocabulary = logps.sort(dim=-1, descending=True, stable=True)
    if top_p < 1:
        shares = ranked.exp()
        before = shares.cumsum(-1, dtype=torch.float64) - shares
        cut = before >= top_p
        cut[:, 0] = False
        ranked = ranked.masked_fill(cut, -torch.inf).log_softmax(-1)
    return ranked, vocabulary


def draw(logps: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse-CDF sampling: per row the first place where the cumulative probability passes.

    Args:
        logps: [row, place] up to a constant per row, the largest near 0; minus infinity where a
            place must not be drawn.
        uniforms: [row], float64 in [0, 1).

    Returns:
        Places [row], never one of probability zero; and the sum of all exp(logps) [row], float64.
    """
    cumulative = logps.exp().cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1]
    # Strictly below the total, or rounding could pass the last place that has probability.
    target = torch.minimum(uniforms * total, total.nextafter(torch.zeros_like(total)))
    places = torch.searchsorted(cumulative, target[:, None], right=True).squeeze(-1)
    # NaN passes nothing; it is reported by whoever reads the log-probability.
    return places.clamp(max=logps.shape[-1] - 1), total


def _taken(table: Tensor, places: Tensor) -> Tensor:
    return table.gather(-1, places[:, None]).squeeze(-1)
