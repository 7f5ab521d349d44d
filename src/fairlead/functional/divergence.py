"""How far two next-token distributions are apart, exactly, over the whole vocabulary."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def exact_kl(
    logps: Float[Tensor, "row vocabulary"], ref_logps: Float[Tensor, "row vocabulary"]
) -> Float[Tensor, " row"]:
    """KL(policy || reference) of each row's distribution, in nats.

    Summed along a reply that the policy sampled it estimates the KL of whole replies, unbiased like
    the log-ratio and with less variance, since each token's share is an expectation (Rao-Blackwell;
    Amini et al. 2025, arXiv:2504.10637). A token that the policy never says adds nothing.

    Args:
        logps: log-probabilities under the policy, normalised.
        ref_logps: log-probabilities under the reference, normalised.
    """
    shares = logps.exp()
    return torch.where(shares > 0, shares * (logps - ref_logps), 0.0).sum(-1).clamp(min=0)


def same_top(
    logps: Float[Tensor, "row vocabulary"], ref_logps: Float[Tensor, "row vocabulary"]
) -> Bool[Tensor, " row"]:
    """Whether both find the same token the likeliest; a tie goes to the first."""
    return logps.argmax(-1) == ref_logps.argmax(-1)
