"""Estimators of KL(policy || reference) from tokens that the policy sampled, and its controller."""

import torch
from jaxtyping import Float
from torch import Tensor


def k1(logp: Float[Tensor, "*n"], ref_logp: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Unbiased and signed: the log-ratio, in nats per token."""
    return logp - ref_logp


def k2(logp: Float[Tensor, "*n"], ref_logp: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Half the squared log-ratio: never negative, low variance, biased; in nats per token."""
    return 0.5 * (logp - ref_logp).square()


def k3(logp: Float[Tensor, "*n"], ref_logp: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Unbiased and never negative, in nats per token.

    `expm1` keeps its relative accuracy where the policies nearly agree.
    Source: Schulman 2020, "Approximating KL divergence".
    """
    d = logp - ref_logp
    return torch.expm1(-d) + d


def weighted_k3(
    logp: Float[Tensor, "*n"], ref_logp: Float[Tensor, "*n"], old_logp: Float[Tensor, "*n"]
) -> Float[Tensor, "*n"]:
    """`k3` times the ratio to the policy that sampled, for a KL in the loss.

    Unbiased whatever sampled, and so is its gradient: that of KL(policy || reference). `k3` alone
    has, even where the policy itself sampled, the gradient of KL(reference || policy). Written as
    exp(ref - old) + ratio * (d - 1), where nothing grows with exp(-d).
    """
    d = logp - ref_logp
    return torch.exp(ref_logp - old_logp) + torch.exp(logp - old_logp) * (d - 1)


def adaptive_kl_coefficient(
    coefficient: float, observed: float, *, target: float, episodes: int, horizon: int
) -> float:
    """The KL coefficient for the next rollout batch.

    Args:
        coefficient: the present coefficient.
        observed: mean sequence KL of the batch, in nats.
        target: the KL to hold, in nats per sequence.
        episodes: replies in the batch.
        horizon: episodes over which the coefficient may change by a factor.

    Source: Ziegler et al. 2019, arXiv:1909.08593, section 2.2.
    """
    error = min(max(observed / target - 1.0, -0.2), 0.2)
    return coefficient * (1.0 + error * episodes / horizon)
