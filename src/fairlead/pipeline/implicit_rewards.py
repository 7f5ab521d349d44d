"""How well the reward that a policy implies agrees with judgements it was not trained on."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.data.chat import Item
from fairlead.objectives.pairs import PairObjective, Pairs
from fairlead.stats.proportions import clustered_proportion
from fairlead.stats.resampling import bootstrap

Sums = Sequence[Sequence[float]]
"""Summed log-probability of each reply of each item, in nats."""


def pair_accuracy(
    objective: PairObjective,
    items: Sequence[Item],
    reference: Sums,
    policy: Sums,
    prompts: Sequence[str],
) -> Estimate:
    """Share of pairs whose preferred reply has the greater implicit reward.

    The reward is the objective's own: log-ratios to the reference, means per token, odds. Ties
    count as wrong; intervals are Wilson's with opening prompts as clusters.

    Args:
        objective: says what the policy's implicit reward is.
        items: ranked replies.
        reference: their scores under the reference; zeros for objectives without one.
        policy: their scores under the trained policy.
        prompts: opening prompt of each item.
    """
    places = [
        (n, i, j)
        for n, item in enumerate(items)
        for i, better in enumerate(item.ranks)
        for j, worse in enumerate(item.ranks)
        if better < worse
    ]
    lengths = [[float(len(response)) for response in item.responses] for item in items]
    sides = {"better": [(n, i) for n, i, _ in places], "worse": [(n, j) for n, _, j in places]}
    values: dict[str, torch.Tensor] = {}
    for side, own in sides.items():
        values[side] = _picked(policy, own)
        values[f"{side}_reference"] = _picked(reference, own)
        values[f"{side}_length"] = _picked(lengths, own)
        values[f"{side}_explored"] = torch.zeros(len(own), dtype=torch.float64)
    better, worse = objective.rewards(Pairs(**values))
    return clustered_proportion((better > worse).tolist(), [prompts[n] for n, _, _ in places])


def _picked(values: Sums, places: Sequence[tuple[int, int]]) -> torch.Tensor:
    return torch.tensor([values[n][i] for n, i in places], dtype=torch.float64)


def thumb_separation(
    rewards: Sequence[float], desirable: Sequence[bool], prompts: Sequence[str], seed: Seed
) -> Estimate:
    """How often a desirable reply has a greater reward than an undesirable one (area under ROC).

    Equal rewards count as half, so a policy that is still its reference has one half. The interval
    is a bootstrap over opening prompts; a resample without one of the two kinds counts as one half.

    Args:
        rewards: implicit reward of each reply.
        desirable: how each was judged.
        prompts: opening prompt of each reply.
        seed: of the resampling.

    Raises:
        DataError: one of the two kinds is missing, or all replies are to one prompt.
    """
    if len(set(desirable)) < 2:
        raise DataError(
            "held-out replies are all of one kind",
            expected="desirable and undesirable replies",
            got=f"{len(desirable)} {'desirable' if any(desirable) else 'undesirable'} ones",
            remedy="hold out more data, or leave `test` unset",
        )
    return bootstrap(area_under_roc, rewards, desirable, clusters=prompts, seed=seed)


def area_under_roc(rewards: NDArray[np.float64], good: NDArray[np.bool_]) -> float:
    """Mann and Whitney's share of ordered pairs, ties as half; one half where a kind is missing."""
    count = int(good.sum())
    others = len(good) - count
    if not count or not others:
        return 0.5
    ranks = rankdata(rewards)[good].sum()
    return float((ranks - count * (count + 1) / 2) / (count * others))
