"""Gates from measurements: paired changes of harm, worst cases of what was not scored, sizes.

Items without a score are nan. They are not left out: in the candidate they count as the worst
harm, in the baseline as none (Manski 2003), so that a judge who declines cannot pass a model.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.gates import LEVEL, Flips, Gate, verdict_of
from fairlead.stats.arrays import CONFIDENCE, Clusters, same_length
from fairlead.stats.means import mean_estimate
from fairlead.stats.proportions import clustered_proportion, exact_proportion, proportion
from fairlead.stats.significance import POWER, binomial_test

SCORED = "scored"
"""The state of an item that has a score; every other is counted by its name."""

MOST = 10**7
"""No gate asks for more items than this; a change that equals its margin would take infinitely
many."""


def gate(
    name: str,
    harm: str,
    change: Estimate,
    margin: float,
    *,
    hard: bool = True,
    adjusted_p: float | None = None,
    candidate: Estimate | None = None,
    baseline: Estimate | None = None,
    flips: Flips | None = None,
    items: int | None = None,
    unscored: Mapping[str, int] | None = None,
    observed: Estimate | None = None,
) -> Gate:
    """A gate with its verdict, and the items that would decide where it is inconclusive.

    Args:
        name: audit and what it measures.
        harm: in words; more of it is worse.
        change: candidate minus baseline, with an interval of 90 %.
        margin: largest change that is accepted.
        hard: whether it takes part in the decision.
        adjusted_p: for one of a family.
        candidate: its harm by itself.
        baseline: its harm by itself.
        flips: items on which they differ.
        items: measured; None for as many as are independent.
        unscored: items without a score, by state.
        observed: the change over the scored items alone.
    """
    verdict = verdict_of(change, margin, adjusted_p)
    return Gate(
        name=name,
        harm=harm,
        change=change,
        margin=margin,
        verdict=verdict,
        hard=hard,
        adjusted_p=adjusted_p,
        candidate=candidate,
        baseline=baseline,
        flips=flips,
        items=change.n if items is None else items,
        unscored=dict(unscored or {}),
        observed=observed,
        needed=items_to_decide(change, margin) if verdict == "inconclusive" else None,
    )


def paired_gate(
    name: str,
    harm: str,
    candidate: ArrayLike,
    baseline: ArrayLike,
    margin: float,
    *,
    clusters: Clusters | None = None,
    states: Iterable[str] = (),
    worst: tuple[float, float] = (0.0, 1.0),
    hard: bool = True,
    adjusted_p: float | None = None,
) -> Gate:
    """The gate of a harm measured on the same items under both models.

    Args:
        name: audit and what it measures.
        harm: in words; more of it is worse.
        candidate: [item] harm, nan where it was not scored.
        baseline: [item] harm of the same items, nan where it was not scored.
        margin: largest change that is accepted.
        clusters: [item] key of each item's cluster; None where all are independent.
        states: of both models' items, in any order; those other than "scored" are counted.
        worst: least and greatest harm that an item can have.
        hard: whether it takes part in the decision.
        adjusted_p: for one of a family.

    Raises:
        DataError: the arrays do not pair up, or there are fewer than two independent items.
    """
    ours, theirs = worst_cases(candidate, baseline, worst=worst)
    change = paired_change(ours, theirs, clusters=clusters)
    return gate(
        name,
        harm,
        change,
        margin,
        hard=hard,
        adjusted_p=adjusted_p,
        candidate=level_of(ours, clusters),
        baseline=level_of(theirs, clusters),
        flips=flips_of(ours, theirs),
        items=len(ours),
        unscored=unscored_of(states),
        observed=_observed(candidate, baseline, clusters),
    )


def count_gate(
    name: str,
    harm: str,
    events: int,
    n: int,
    margin: float,
    *,
    unscored: Mapping[str, int] | None = None,
    hard: bool = True,
) -> Gate:
    """The gate of rare events that are not to happen at all, by the exact interval.

    Args:
        name: audit and what it measures.
        harm: in words.
        events: seen among those scored.
        n: items, the unscored ones among them.
        margin: largest share that is accepted.
        unscored: items without a score, by state; each counts as an event.
        hard: whether it takes part in the decision.
    """
    gaps = sum((unscored or {}).values())
    found = exact_proportion(events + gaps, n, level=LEVEL)
    scored = exact_proportion(events, n - gaps, level=LEVEL) if 0 < gaps < n else None
    return gate(name, harm, found, margin, hard=hard, unscored=unscored, observed=scored)


def worst_cases(
    candidate: ArrayLike, baseline: ArrayLike, *, worst: tuple[float, float] = (0.0, 1.0)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both harms with their gaps filled: the candidate's by the most, the baseline's by the least.

    Raises:
        DataError: the arrays do not pair up, are empty, or hold infinity.
    """
    ours = np.array(candidate, dtype=np.float64)
    theirs = np.array(baseline, dtype=np.float64)
    same_length(candidate=ours, baseline=theirs)
    if not ours.size or np.isinf(ours).any() or np.isinf(theirs).any():
        raise DataError(
            "no gate from these harms",
            expected="at least one item, each with a finite harm or nan",
            got=f"{ours.size} items, {int(np.isinf(ours).sum() + np.isinf(theirs).sum())} infinite",
            remedy="check that the audit measured something",
        )
    return np.where(np.isnan(ours), worst[1], ours), np.where(np.isnan(theirs), worst[0], theirs)


def bounds(values: ArrayLike, *, worst: tuple[float, float] = (0.0, 1.0)) -> tuple[float, float]:
    """Means with every unscored item (nan) at its least and at its greatest (Manski 2003)."""
    array = np.array(values, dtype=np.float64)
    low, high = (np.where(np.isnan(array), end, array).mean() for end in worst)
    return float(low), float(high)


def paired_change(
    candidate: NDArray[np.float64],
    baseline: NDArray[np.float64],
    *,
    clusters: Clusters | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Mean of candidate minus baseline, with an interval that few or no flips do not close.

    For harms that an item has or has not, and independent items, by Bonett and Price 2012 (an
    item is added to each kind of flip before the variance is taken): a t interval is too narrow
    where three items flipped, and has no width where none did. With clusters it is the
    cluster-robust t interval; where no two items differ, widened by the exact bound of a change
    that none of n clusters shows.
    """
    change = mean_estimate(candidate - baseline, clusters=clusters, level=level)
    if not _binary(candidate, baseline):
        return change
    if change.n == len(candidate):
        return _bonett_price(change, candidate, baseline)
    if change.low < change.high:
        return change
    unseen = exact_proportion(0, change.n, level=level).high
    return change.model_copy(
        update={
            "low": max(change.value - unseen, -1.0),
            "high": min(change.value + unseen, 1.0),
            "method": f"{change.method}; widened by the exact bound of 0 in {change.n}",
        }
    )


def _bonett_price(
    change: Estimate, candidate: NDArray[np.float64], baseline: NDArray[np.float64]
) -> Estimate:
    n = len(candidate) + 2
    worse = (np.sum(candidate > baseline) + 1) / n
    better = (np.sum(candidate < baseline) + 1) / n
    centre = float(worse - better)
    reach = float(stats.norm.ppf((1 + change.level) / 2))
    half = reach * math.sqrt((worse + better - centre**2) / n)
    return change.model_copy(
        update={
            "low": max(min(centre - half, change.value), -1.0),
            "high": min(max(centre + half, change.value), 1.0),
            "method": "paired difference of shares, adjusted Wald interval (Bonett and Price)",
        }
    )


def _observed(
    candidate: ArrayLike, baseline: ArrayLike, clusters: Clusters | None
) -> Estimate | None:
    """The change over items with both scores; None where none is missing or too few are left."""
    ours = np.array(candidate, dtype=np.float64)
    theirs = np.array(baseline, dtype=np.float64)
    both = ~(np.isnan(ours) | np.isnan(theirs))
    kept = None
    if clusters is not None:
        kept = [key for key, scored in zip(clusters, both, strict=True) if scored]
    independent = both.sum() if kept is None else len(set(kept))
    if both.all() or independent < 2:
        return None
    return paired_change(ours[both], theirs[both], clusters=kept)


def level_of(values: NDArray[np.float64], clusters: Clusters | None = None) -> Estimate:
    """The level of a harm by itself: a share where items have it or not, a mean elsewhere."""
    if not _binary(values):
        return mean_estimate(values, clusters=clusters, level=CONFIDENCE)
    if clusters is None:
        return proportion(int(values.sum()), len(values))
    return clustered_proportion(values, clusters)


def flips_of(candidate: NDArray[np.float64], baseline: NDArray[np.float64]) -> Flips | None:
    """Items that only one of the two harms, with McNemar's exact test; None for graded harms."""
    if not _binary(candidate, baseline):
        return None
    worse = int(np.sum(candidate > baseline))
    better = int(np.sum(candidate < baseline))
    return Flips(worse=worse, better=better, p=binomial_test(worse, worse + better))


def harm_p(change: Estimate) -> float:
    """One-sided p-value that the change is above zero, from its interval; for families of gates.

    By Student's t with one degree of freedom less than there are independent items.
    """
    half = (change.high - change.low) / 2
    if not half > 0:
        return 0.0 if change.value > 0 else 1.0
    degrees = max(change.n - 1, 1)
    error = half / float(stats.t.ppf((1 + change.level) / 2, degrees))
    return float(stats.t.sf(change.value / error, degrees))


def unscored_of(states: Iterable[str]) -> dict[str, int]:
    """How many items ended without a score, by state."""
    return dict(Counter(state for state in states if state != SCORED))


def items_to_decide(change: Estimate, margin: float, *, power: float = POWER) -> int | None:
    """Independent items at which the gate would pass with the given power, were the harm zero.

    (z_0.95 + z_power)^2 times the variance of an item, over the squared margin. Where as many were
    measured already, the change itself is in the way: then at the change that was seen, towards
    whichever of zero and the margin it will be told from first.

    Returns:
        None where no number would: the interval has no width, or the change lies on its border.
    """
    if math.isnan(change.low) or math.isnan(change.high) or change.n < 1:
        return None
    reach = stats.norm.ppf((1 + change.level) / 2)
    error = (change.high - change.low) / (2 * reach)
    wanted = float(reach + stats.norm.ppf(power)) * error
    distances = [margin, max(margin - change.value, change.value)]
    for distance in distances:
        if wanted > 0 and distance > 0:
            needed = math.ceil(min(change.n * (wanted / distance) ** 2, MOST + 1.0))
            if change.n < needed <= MOST:
                return needed
    return None


def _binary(*arrays: NDArray[np.float64]) -> bool:
    return all(bool(np.isin(array, (0.0, 1.0)).all()) for array in arrays)
