"""Credit assignment over the tokens of sampled replies."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fairlead.functional.reductions import alone


def shaped_rewards(
    score: Float[Tensor, " reply"],
    logp: Float[Tensor, "reply token"],
    ref_logp: Float[Tensor, "reply token"],
    mask: Bool[Tensor, "reply token"],
    *,
    kl_coefficient: float,
) -> Float[Tensor, "reply token"]:
    """Per-token rewards: the KL penalty everywhere, the reply's score at its last token.

    Source: Ziegler et al. 2019, arXiv:1909.08593, eq. 2, spread over tokens.
    """
    rewards = torch.where(mask, -kl_coefficient * (logp - ref_logp), 0.0)
    last = mask.sum(dim=1) - 1
    rewards[torch.arange(len(score), device=score.device), last] += score
    return rewards


def generalised_advantages(
    rewards: Float[Tensor, "reply token"],
    values: Float[Tensor, "reply token"],
    mask: Bool[Tensor, "reply token"],
    *,
    gamma: float,
    lam: float,
) -> tuple[Float[Tensor, "reply token"], Float[Tensor, "reply token"]]:
    """Advantages and returns by generalised advantage estimation.

    `values[b, t]` is the value of the state before token t; the state after the last token is
    worth 0. Returns are advantages plus values, before any whitening.
    Source: Schulman et al. 2015, arXiv:1506.02438, eq. 16.
    """
    rewards = torch.where(mask, rewards, 0.0)
    values = torch.where(mask, values, 0.0)
    advantages = torch.zeros_like(rewards)
    running = torch.zeros_like(rewards[:, 0])
    following = torch.zeros_like(running)
    for t in range(rewards.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * following - values[:, t]
        running = torch.where(mask[:, t], delta + gamma * lam * running, 0.0)
        advantages[:, t] = running
        following = values[:, t]
    return advantages, advantages + values


def to_go(x: Float[Tensor, "reply token"]) -> Float[Tensor, "reply token"]:
    """The sum of each entry and all later ones; what lies behind a reply must be 0."""
    return x.flip(1).cumsum(1).flip(1)


def constant_over_tokens(
    x: Float[Tensor, " reply"], mask: Bool[Tensor, "reply token"]
) -> Float[Tensor, "reply token"]:
    """The reply's number at each of its tokens, 0 behind them."""
    return torch.where(mask, x[:, None], 0.0)


def standardised(
    x: Float[Tensor, "reply token"],
    mask: Bool[Tensor, "reply token"],
    *,
    over_ranks: Callable[[Tensor], Tensor] = alone,
) -> Float[Tensor, "reply token"]:
    """Mean 0 and population variance 1 over all tokens of the batch; 0 behind the replies.

    As in REINFORCE++ (Hu 2025, arXiv:2501.03262) and its authors' code: the variance is that of the
    population and held above 1e-8, where PPO's `whiten` has the unbiased one and adds 1e-8.
    """
    count = over_ranks(mask.sum().to(x.dtype))
    mean = over_ranks(torch.where(mask, x, 0.0).sum()) / count
    centred = torch.where(mask, x - mean, 0.0)
    return centred * torch.rsqrt((over_ranks(centred.square().sum()) / count).clamp(min=1e-8))
