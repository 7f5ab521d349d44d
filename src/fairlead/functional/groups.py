"""Advantages of replies relative to the other replies to the same prompt.

`group` numbers the prompt that each reply answers, from 0; replies of a group need not lie side by
side.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fairlead.functional.advantages import to_go
from fairlead.functional.reductions import alone, segment_sum

Scale = Literal["group", "batch", "none"]


def group_sizes(group: Int[Tensor, " reply"]) -> Int[Tensor, " group"]:
    """Replies in each group."""
    return torch.bincount(group)


def group_means(x: Float[Tensor, " reply"], group: Int[Tensor, " reply"]) -> Tensor:
    """The mean of each reply's group, for each reply."""
    sizes = group_sizes(group)
    return (segment_sum(x, group, len(sizes)) / sizes.clamp(min=1))[group]


def uniform_groups(
    x: Float[Tensor, " reply"], group: Int[Tensor, " reply"]
) -> Bool[Tensor, " reply"]:
    """True for replies all of whose group have the same score, a group of one among them.

    Compared, not computed from a deviation: rounding would leave a trace of one.
    """
    count = len(group_sizes(group))
    highest = x.new_full((count,), -torch.inf).scatter_reduce(0, group, x, "amax")
    lowest = x.new_full((count,), torch.inf).scatter_reduce(0, group, x, "amin")
    return (highest == lowest)[group]


def group_deviations(x: Float[Tensor, " reply"], group: Int[Tensor, " reply"]) -> Tensor:
    """The unbiased standard deviation of each reply's group, for each reply; 0 for one reply."""
    sizes = group_sizes(group)
    squares = segment_sum((x - group_means(x, group)).square(), group, len(sizes))
    return (squares / (sizes - 1).clamp(min=1)).sqrt()[group]


def batch_deviation(
    x: Float[Tensor, " reply"], over_ranks: Callable[[Tensor], Tensor] = alone
) -> Float[Tensor, ""]:
    """The unbiased standard deviation over the whole batch."""
    count = over_ranks(x.new_tensor(float(len(x))))
    mean = over_ranks(x.sum()) / count
    return (over_ranks((x - mean).square().sum()) / (count - 1).clamp(min=1)).sqrt()


def group_advantages(
    scores: Float[Tensor, " reply"],
    group: Int[Tensor, " reply"],
    *,
    scale: Scale = "group",
    epsilon: float = 1e-4,
    over_ranks: Callable[[Tensor], Tensor] = alone,
) -> Float[Tensor, " reply"]:
    """Scores less their group's mean, divided by a standard deviation plus `epsilon`.

    Args:
        scores: one for each reply.
        group: the prompt that each reply answers.
        scale: "group" divides by the group's deviation (Shao et al. 2024, arXiv:2402.03300),
            "batch" by that of all scores, "none" by nothing (Liu et al. 2025, arXiv:2503.20783).
        epsilon: keeps the divisor from 0; added to the deviation, not to the variance.
        over_ranks: adds a tensor over processes; only "batch" looks beyond this one.

    Returns:
        Exactly 0 where all replies of a group have the same score.
    """
    centred = scores - group_means(scores, group)
    if scale == "group":
        centred = centred / (group_deviations(scores, group) + epsilon)
    elif scale == "batch":
        centred = centred / (batch_deviation(scores, over_ranks) + epsilon)
    return torch.where(uniform_groups(scores, group), 0.0, centred)


def leave_one_out_advantages(
    scores: Float[Tensor, " reply"], group: Int[Tensor, " reply"]
) -> Float[Tensor, " reply"]:
    """Scores less the mean of the *other* replies to the prompt; 0 for a reply without others.

    Source: Kool et al. 2019; for language models Ahmadian et al. 2024, arXiv:2402.14740, eq. 8.
    """
    sizes = group_sizes(group)[group]
    centred = scores - group_means(scores, group)
    spread = centred * sizes / (sizes - 1).clamp(min=1)
    return torch.where(uniform_groups(scores, group), 0.0, spread)


def step_advantages(
    rewards: Float[Tensor, "reply token"],
    steps: Bool[Tensor, "reply token"],
    group: Int[Tensor, " reply"],
    *,
    scale: Scale = "group",
    epsilon: float = 1e-4,
    over_ranks: Callable[[Tensor], Tensor] = alone,
) -> Float[Tensor, "reply token"]:
    """Process supervision: every token gets the normalised rewards of the steps still to end.

    Step rewards are normalised over all steps of all replies to a prompt, as `group_advantages`
    does with scores; `steps` marks the last token of each step.
    Source: Shao et al. 2024, arXiv:2402.03300, section 4.1.3.
    """
    owner = group[:, None].expand_as(rewards)[steps]
    normalised = group_advantages(
        rewards[steps], owner, scale=scale, epsilon=epsilon, over_ranks=over_ranks
    )
    return to_go(torch.zeros_like(rewards).masked_scatter(steps, normalised))


def intransitive_advantages(
    embeddings: Float[Tensor, "reply axis"],
    eigenvalues: Float[Tensor, "reply subspace"],
    group: Int[Tensor, " reply"],
    *,
    epsilon: float = 1e-4,
) -> Float[Tensor, " reply"]:
    """Advantages under a general preference model: each subspace is normalised, then weighed.

    A reply's standing in a subspace is its mean score against the other replies to the prompt.
    Source: Umer et al. 2026, arXiv:2605.18721; the score is that of Zhang et al. 2024,
    arXiv:2410.02197.
    """
    first, second = embeddings[:, 0::2], embeddings[:, 1::2]
    standing = [
        _against_group(a, b, group) for a, b in zip(first.unbind(1), second.unbind(1), strict=True)
    ]
    normalised = [group_advantages(x, group, epsilon=epsilon) for x in standing]
    return (eigenvalues * torch.stack(normalised, dim=1)).sum(1)


def _against_group(
    first: Float[Tensor, " reply"], second: Float[Tensor, " reply"], group: Int[Tensor, " reply"]
) -> Float[Tensor, " reply"]:
    """Mean skew-symmetric score against the others: linear in them, so no table of pairs."""
    sizes = group_sizes(group)
    sum_first = segment_sum(first, group, len(sizes))[group]
    sum_second = segment_sum(second, group, len(sizes))[group]
    return (first * sum_second - second * sum_first) / (sizes[group] - 1).clamp(min=1)
