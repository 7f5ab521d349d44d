"""Votes of samples on their answer, plain or weighted by a score.

Plain: self-consistency, Wang et al. 2022, arXiv:2203.11171. Weighted: Li et al. 2022,
arXiv:2206.02336.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.stats.arrays import finite, same_length


def expected_vote(
    answers: Sequence[str],
    gold: ArrayLike,
    sizes: Sequence[int],
    *,
    weights: ArrayLike | None = None,
    orders: int = 200,
    seed: Seed,
) -> NDArray[np.float64]:
    """What the answer that wins the vote of n samples of one prompt is worth, for several n.

    The mean over random orders of the samples, of which the first n vote. Answers with equally
    many votes share the decision (the mean over random draws among them).

    Args:
        answers: [sample] what each sample answers; one that answers nothing ("") has no vote.
        gold: [sample] what each sample is worth; an answer is worth the mean of its samples.
        sizes: how many samples vote; none above the number of samples.
        weights: [sample] how much each vote counts, none below 0; None for one vote each.
        orders: how many random orders.
        seed: draws the orders.

    Returns:
        One value for each size; 0 counts where nobody voted.

    Raises:
        DataError: lengths differ, a weight is negative, or a size is not from 1 to the number of
            samples.
    """
    worth = finite(gold, "gold scores")
    votes = np.ones_like(worth) if weights is None else finite(weights, "weights of votes")
    same_length(answers=np.array(answers), gold=worth, weights=votes)
    _check(sizes, votes)
    names, codes = np.unique(np.array(answers), return_inverse=True)
    given = np.eye(len(names))[codes]
    value = worth @ given / given.sum(axis=0)
    ballots = given * votes[:, None] * (names != "")
    generator = seed.numpy()
    drawn = np.stack([generator.permutation(worth.size) for _ in range(orders)])
    counted = ballots[drawn].cumsum(axis=1)[:, np.array(sizes) - 1]
    winners = (counted == counted.max(axis=2, keepdims=True)) & (counted > 0)
    shares = (winners @ value) / np.maximum(winners.sum(axis=2), 1)
    return shares.mean(axis=0)


def _check(sizes: Sequence[int], votes: NDArray[np.float64]) -> None:
    if not sizes or not 1 <= min(sizes) <= max(sizes) <= votes.size:
        raise DataError(
            "a vote needs from one voter to as many as there are samples",
            expected=f"1 to {votes.size}",
            got=str(list(sizes)),
            remedy="draw more samples per prompt or ask for smaller votes",
        )
    if votes.min() < 0:
        raise DataError(
            "votes cannot count less than nothing",
            expected="weights from 0 on, such as probabilities",
            got=f"{votes.min():g}",
            remedy="weigh votes with a reward that gives probabilities",
        )
