"""One score from several reward models, and how far they disagree.

Coste et al. 2023, arXiv:2310.02743. Every function takes the scores of all members on the same
replies; members must be on a common scale first, or the widest one rules.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def ensemble_mean(scores: Float[Tensor, "member reply"]) -> Float[Tensor, " reply"]:
    """Mean over the members."""
    return scores.mean(0)


def worst_case(scores: Float[Tensor, "member reply"]) -> Float[Tensor, " reply"]:
    """What the most sceptical member says (worst-case optimisation)."""
    return scores.amin(0)


def lower_bound(
    scores: Float[Tensor, "member reply"], *, k: float, unbiased: bool = True
) -> Float[Tensor, " reply"]:
    """Mean less `k` standard deviations over the members."""
    return scores.mean(0) - k * spread(scores, unbiased=unbiased)


def variance_penalised(
    scores: Float[Tensor, "member reply"], *, coefficient: float, unbiased: bool = True
) -> Float[Tensor, " reply"]:
    """Mean less `coefficient` times the variance over the members (uncertainty-weighted).

    The authors' code divides the squares by members - 1 in PPO and by members in best-of-n: with
    five members the penalty differs by a quarter, so the convention is named.
    """
    return scores.mean(0) - coefficient * spread(scores, unbiased=unbiased).square()


def spread(
    scores: Float[Tensor, "member reply"], *, unbiased: bool = True
) -> Float[Tensor, " reply"]:
    """Standard deviation over the members; 0 where there is one.

    Args:
        scores: one row per member.
        unbiased: divide the squares by members - 1 instead of members.
    """
    if len(scores) == 1:
        return torch.zeros_like(scores[0])
    return scores.std(0, correction=1 if unbiased else 0)


def most_sceptical(scores: Float[Tensor, "member reply"]) -> Int[Tensor, " reply"]:
    """The member that gives each reply its lowest score; the first of several."""
    return scores.argmin(0)


def disagreement(
    scores: Float[Tensor, "member reply"], group: Int[Tensor, " reply"]
) -> Float[Tensor, " reply"]:
    """How often two members order a reply differently against another reply of its group.

    A tie stands half-way between the two orders. 0 where every member ranks the reply alike, at
    most 1; 0 too for one member, and for a reply that is alone in its group.
    """
    shares = torch.zeros_like(scores[0])
    if len(scores) > 1:
        for own in (group == g for g in range(int(group.max()) + 1)):
            shares[own] = _split_votes(scores[:, own])
    return shares


def _split_votes(scores: Float[Tensor, "member reply"]) -> Float[Tensor, " reply"]:
    """Mean over rivals of the share of pairs of members that order the two differently."""
    members, replies = scores.shape
    above = (scores[:, :, None] > scores[:, None, :]).sum(0).to(scores.dtype)
    below = above.T
    level = members - above - below
    opposed = above * below + 0.5 * level * (above + below)
    split = opposed / (members * (members - 1) / 2)
    return split.fill_diagonal_(0.0).sum(1) / max(replies - 1, 1)


def correlations(scores: Float[Tensor, "member reply"]) -> Float[Tensor, "member member"]:
    """Pearson correlation of each two members over the replies; nan for a constant member."""
    return torch.corrcoef(scores).reshape(len(scores), len(scores))
