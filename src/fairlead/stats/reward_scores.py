"""What scores of a reward model are worth: credit for order, effects in its own units, length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.stats.arrays import CONFIDENCE, Clusters, codes, finite, same_length
from fairlead.stats.means import clustered_error, mean_estimate

Floats = NDArray[np.float64]


def credit(scores: ArrayLike, ranks: Sequence[int]) -> float:
    """How far scores agree with a ranking, from 0 to 1; nan where a score is missing.

    One best reply among several equally bad ones: 1 over the number of top scores if it has one of
    them (four replies give 1/4 by chance). Any other ranking: the share of its pairs of unequal
    rank that are in order, equal scores half.

    Args:
        scores: [reply], higher is better.
        ranks: [reply], smaller is better.

    Raises:
        DataError: lengths differ, or all ranks are equal.
    """
    values, order = np.asarray(scores, dtype=np.float64), np.asarray(ranks)
    same_length(scores=values, ranks=order)
    if len(set(ranks)) < 2:
        raise DataError("no credit without replies of unequal rank", got=f"ranks {list(ranks)}")
    if np.isnan(values).any():
        return float("nan")
    if len(ranks) == 2:
        margin = (values[0] - values[1]) * (ranks[1] - ranks[0])
        return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0
    if _one_best(order):
        top = values == values.max()
        return float(top[order.argmin()]) / int(top.sum())
    better = order[:, None] < order[None, :]
    margins = (values[:, None] - values[None, :])[better]
    return float(np.mean((margins > 0) + 0.5 * (margins == 0)))


def is_best_of(ranks: Sequence[int]) -> bool:
    """Whether a ranking says no more than which one of several replies is the best."""
    return len(ranks) > 2 and _one_best(np.asarray(ranks))


def _one_best(order: NDArray[np.int64]) -> bool:
    return len(set(order.tolist())) == 2 and int((order == order.min()).sum()) == 1


@dataclass(frozen=True)
class TiesScore:
    """How a reward model treats prompts with several right answers."""

    score: float
    tied: float
    """Share of prompts with several right answers where each of them beats each wrong one."""
    reference: float
    """The same of their twins with one right answer."""


def ties_score(
    tied: Mapping[str, tuple[ArrayLike, ArrayLike]],
    single: Mapping[str, tuple[ArrayLike, ArrayLike]],
) -> TiesScore:
    """Score of prompts with several equally right answers (Malik et al. 2025, arXiv:2506.01937).

    With the spread of right answers and the margin of the worst right over the best wrong one:
    0.3 accuracy + 0.3 accuracy of the twins + 0.2 share where the margin exceeds the spread + 0.2
    share where the smaller of both margins does + 0.01 mean tanh(that margin / spread - 1). The
    weights add up to 1.01, so that a score may exceed 1.

    Args:
        tied: by prompt, scores of right and of wrong answers.
        single: by prompt, the same of its twin with one right answer.

    Raises:
        DataError: no prompt has a twin, or one has no right or no wrong answer.
    """
    both = sorted(set(tied) & set(single))
    if not both:
        raise DataError(
            "no prompt with several right answers has a twin with one",
            expected="ids that occur in both",
            got=f"{len(tied)} and {len(single)} prompts",
        )
    margins = {k: _margin(*v) for k, v in tied.items()}
    references = {k: _margin(*v) for k, v in single.items()}
    spread = np.array([np.ptp(finite(tied[k][0], "scores of right answers")) for k in both])
    own = np.array([margins[k] for k in both])
    least = np.minimum(own, [references[k] for k in both])
    # No spread at all is the best there is: the ratio is then infinite, with the margin's sign.
    ratio = np.divide(least, spread, out=np.sign(least) * np.inf, where=spread > 0)
    accuracy = float(np.mean(np.array(list(margins.values())) > 0))
    reference = float(np.mean(np.array(list(references.values())) > 0))
    score = (
        0.3 * accuracy
        + 0.3 * reference
        + 0.2 * float(np.mean(own > spread))
        + 0.2 * float(np.mean(least > spread))
        + 0.01 * float(np.mean(np.tanh(np.nan_to_num(ratio, nan=0.0) - 1)))
    )
    return TiesScore(score, accuracy, reference)


def _margin(right: ArrayLike, wrong: ArrayLike) -> float:
    return float(finite(right, "scores of right").min() - finite(wrong, "scores of wrong").max())


def in_spreads(
    effects: ArrayLike,
    variances: ArrayLike,
    *,
    clusters: Clusters | None = None,
    level: float = CONFIDENCE,
) -> Estimate:
    """Mean effect over the reward's own spread within a prompt, so that scales do not matter.

    The interval is a t interval of the ratio's linearisation (delta method): it knows that the
    spread was estimated too.

    Args:
        effects: [item] changes of reward; nan where the item has none.
        variances: [item] variance of the reward between replies to one prompt.
        clusters: [item] key of each item's prompt.
        level: confidence of the interval.

    Raises:
        DataError: no item has an effect, or rewards do not differ within any prompt.
    """
    own, spread = np.asarray(effects, dtype=np.float64), finite(variances, "variances")
    same_length(effects=own, variances=spread)
    there = ~np.isnan(own)
    finite(own[there], "effects")
    square = float(spread.mean())
    if not square > 0:
        raise DataError(
            "the reward gives all replies to a prompt the same score",
            expected="scores that differ within at least one prompt",
            got=f"{len(own)} prompts without any difference",
            remedy="check that the reward reads the replies",
        )
    unit = float(np.sqrt(square))
    mean = float(own[there].mean())
    residual = np.where(there, own - mean, 0.0) * len(own) / there.sum() / unit
    ratio = residual - mean / (2 * unit**3) * (spread - square)
    found = mean_estimate(mean / unit + ratio, clusters=clusters, level=level)
    method = "mean over the spread within prompts, delta-method t interval"
    groups = len(set(codes(clusters, len(own))[there].tolist()))
    return found.model_copy(update={"n": groups, "method": method})


def two_sided_p(values: ArrayLike, *, clusters: Clusters | None = None) -> float:
    """p-value that a mean is zero, by the cluster-robust t test; 1 where nothing differs from 0."""
    array = finite(values)
    error, groups = clustered_error(array, codes(clusters, array.size))
    if not error:
        return 0.0 if array.any() else 1.0
    return float(2 * stats.t.sf(abs(array.mean()) / error, groups - 1))


def one_sided_p(values: ArrayLike, *, clusters: Clusters | None = None) -> float:
    """p-value that a mean is not above zero, by the cluster-robust t test."""
    p = two_sided_p(values, clusters=clusters)
    return p / 2 if np.mean(np.asarray(values, dtype=np.float64)) > 0 else 1 - p / 2


def absolute(change: Estimate) -> Estimate:
    """The size of a change whose sign does not matter; its interval holds all sizes of the old."""
    inside = change.low <= 0 <= change.high
    ends = sorted((abs(change.low), abs(change.high)))
    update = {
        "value": abs(change.value),
        "low": 0.0 if inside else ends[0],
        "high": ends[1],
        "method": f"{change.method}, its size",
    }
    return change.model_copy(update=update)


def beyond_length(
    before: ArrayLike,
    after: ArrayLike,
    lengths_before: ArrayLike,
    lengths_after: ArrayLike,
    bins: int = 10,
) -> float:
    """Share of a gain in reward that remains between replies of equal length (NRG).

    Lengths are parted into bins of equal size over both; the gains within bins that hold both
    kinds of replies are averaged, weighted by their replies, and divided by the whole gain
    (Singhal et al. 2023, arXiv:2310.03716).

    Args:
        before: [reply] rewards before training.
        after: [reply] rewards after it.
        lengths_before: [reply].
        lengths_after: [reply].
        bins: how many.

    Returns:
        The share; nan where there is no gain, or no length that both have.
    """
    old, new = finite(before, "rewards before"), finite(after, "rewards after")
    lengths = np.concatenate([finite(lengths_before), finite(lengths_after)])
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, bins + 1)[1:-1]))
    where = np.searchsorted(edges, lengths, side="right")
    first, second = where[: len(old)], where[len(old) :]
    shared = [b for b in np.unique(where) if (first == b).any() and (second == b).any()]
    gain = float(new.mean() - old.mean())
    if not gain or not shared:
        return float("nan")
    sizes = np.array([(where == b).sum() for b in shared], dtype=np.float64)
    gains = np.array([new[second == b].mean() - old[first == b].mean() for b in shared])
    return float(sizes @ gains / sizes.sum() / gain)


def group_gap(
    values: ArrayLike,
    own: NDArray[np.bool_],
    *,
    clusters: Clusters | None = None,
    across: Clusters | None = None,
    level: float = CONFIDENCE,
) -> Estimate:
    """Mean of all others less the mean of a group.

    Where no cluster lies across both, as people of a group do not, the interval is Welch's, which
    knows that a small group has few of them; otherwise it is that of the joint linearisation. What
    units share `across` people, as the pair they judged, adds to the variance (Cameron, Gelbach and
    Miller 2011: the sum of both clusterings less that of their cells).

    Args:
        values: [unit] numbers.
        own: [unit] whether it belongs to the group.
        clusters: [unit] key of each unit's cluster; None where all are independent.
        across: [unit] key of a second clustering that crosses the first; None for none.
        level: confidence of the interval.

    Raises:
        DataError: the group is empty or everybody, or one of the two is a single cluster.
    """
    array = finite(values)
    same_length(values=array, own=own)
    if not 0 < own.sum() < len(own):
        raise DataError("no gap without a group and others", got=f"{own.sum()} of {len(own)}")
    keys = codes(clusters, len(array))
    others, group = float(array[~own].mean()), float(array[own].mean())
    share = float(own.mean())
    pull = np.where(own, -(array - group) / share, (array - others) / (1 - share))
    if set(keys[own].tolist()) & set(keys[~own].tolist()):
        error, n = clustered_error(pull, keys)
        variance, freedom, how = error**2, n - 1.0, f"t interval, {n} independent units"
    else:
        sides = [clustered_error(array[w], codes(keys[w], int(w.sum()))) for w in (own, ~own)]
        variance, n = sum(error**2 for error, _ in sides), sum(count for _, count in sides)
        slack = sum(error**4 / (count - 1) for error, count in sides)
        freedom, how = (variance**2 / slack if slack else n - 2.0), "Welch's interval on clusters"
    if across is not None:
        variance += _shared(pull, keys, codes(across, len(array)))
        how += ", two-way clustered"
    if not variance:
        how = "no spread: the values do not differ"
    half = float(stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance))
    return Estimate(
        value=others - group,
        low=others - group - half,
        high=others - group + half,
        n=n,
        method=f"others less the group, {how}",
        level=level,
    )


def _shared(pull: NDArray[np.float64], keys: NDArray[np.int64], across: NDArray[np.int64]) -> float:
    """Variance that units share across clusters, beyond that of the cells of both clusterings."""
    cells = codes(list(zip(keys.tolist(), across.tolist(), strict=True)), len(pull))
    return max(clustered_error(pull, across)[0] ** 2 - clustered_error(pull, cells)[0] ** 2, 0.0)
