"""Which items go to people when not all can: always some at random, always with propensities.

A selection has two strata. A simple random sample of the whole pool serves as control and as sound
basis for estimates; the rest of the budget goes to the items that a strategy puts first. The
probability with which each item of the pool gets to people, by either way, is exact and recorded,
so that estimates can be weighted by its inverse.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed

Stratum = Literal["random", "targeted"]
Strategy = Literal["random", "rm_margin", "judge_disagreement", "rlthf"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

LEAST_RANDOM = 0.2
"""Smallest share of the budget that is drawn from the whole pool at random."""

Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Signals:
    """What is known of each pair of the pool before people see it."""

    margins: ArrayLike | None = None
    """[pair] score of a reward model for the reply that the AI label prefers, less its score for
    the other one: negative where the model disagrees with the label."""
    verdicts: ArrayLike | None = None
    """[pair, judge] probability, under each judge, that the first reply is better."""


@dataclass(frozen=True)
class Selection:
    """The items that people get, in the order of the pool."""

    strategy: Strategy
    chosen: Places
    """Places of the chosen items in the pool, ascending."""
    stratum: tuple[Stratum, ...]
    """By which way each chosen item got in; one that both would take counts as random."""
    propensity: Floats
    """[pool] probability of being chosen, by either way, in (0, 1]."""
    random_n: int
    """Size of the random stratum: each item of the pool is in it with probability random_n/pool."""

    @property
    def params(self) -> dict[str, Any]:
        """What a selection batch records of it."""
        return {
            "pool": len(self.propensity),
            "budget": len(self.chosen),
            "random": self.random_n,
        }

    def of_random(self) -> Places:
        """Places of the random stratum: an unweighted sample of the pool."""
        return self.chosen[np.array([name == "random" for name in self.stratum], dtype=bool)]


def select(
    pool: int,
    budget: int,
    strategy: Strategy,
    *,
    seed: Seed,
    signals: Signals | None = None,
    random_share: float = LEAST_RANDOM,
) -> Selection:
    """Chooses `budget` items of a pool for people.

    First a simple random sample of `random_share` of the budget is drawn from the whole pool; then
    the items that the strategy puts first are taken until the budget is spent. Equal items are put
    in random order.

    Args:
        pool: how many items there are.
        budget: how many people can answer; more than there are means all.
        strategy: `random`; `rm_margin`, smallest distance of the two scores first;
            `judge_disagreement`, largest spread of the verdicts first; `rlthf`, see `rlthf_order`.
        seed: of the sample and of the order of equal items.
        signals: what the strategy goes by.
        random_share: share of the budget that is random, at least a fifth.

    Raises:
        ConfigError: an unknown strategy, a budget below 1 or a random share below a fifth.
        DataError: the strategy's signals are missing, have another length, or hold a nan.
    """
    _check(pool, budget, strategy, random_share)
    budget = min(budget, pool)
    shuffled = seed.child("ties").numpy().permutation(pool)
    order = shuffled[_ORDERS[strategy](signals or Signals(), shuffled)]
    random_n = budget if strategy == "random" else min(budget, int(np.ceil(random_share * budget)))
    sampled = seed.child("random").numpy().choice(pool, size=random_n, replace=False)
    is_random = np.zeros(pool, dtype=bool)
    is_random[sampled] = True
    targeted = order[~is_random[order]][: budget - random_n]
    propensity = np.empty(pool)
    propensity[order] = inclusion(pool, random_n, budget - random_n)
    chosen = np.sort(np.concatenate([sampled, targeted]))
    strata: list[Stratum] = ["random" if is_random[i] else "targeted" for i in chosen]
    return Selection(strategy, chosen, tuple(strata), propensity, random_n)


def inclusion(pool: int, random_n: int, targeted_n: int) -> Floats:
    """Exact probability that the item at each rank of the strategy's order is chosen.

    The item at rank k (from 1) is in the random sample R with probability random_n/pool. Otherwise
    it is taken if fewer than `targeted_n` items outside R stand before it. Among the other items,
    the place of the `targeted_n`-th one outside R follows the negative hypergeometric
    distribution, whose upper tail at k is the probability asked for. So ranks up to `targeted_n`
    are certain, and ranks beyond `targeted_n + random_n` come in through R alone.

    Args:
        pool: how many items there are.
        random_n: size of the random sample of all of them.
        targeted_n: how many are taken in order besides.

    Returns:
        [pool] probabilities, not increasing; they sum to the budget.
    """
    by_chance = random_n / pool
    taken = np.zeros(pool)
    if random_n + targeted_n >= pool:
        return np.ones(pool)
    if targeted_n:
        places, chance = _last_targeted(pool - 1, random_n, targeted_n)
        tail = np.cumsum(chance[::-1])[::-1]
        taken[: places[0]] = 1.0
        taken[places - 1] = tail
    return np.clip(by_chance + (1 - by_chance) * taken, 0.0, 1.0)


def _last_targeted(others: int, random_n: int, targeted_n: int) -> tuple[Places, Floats]:
    """Places, among the others, of the last item that is taken in order, and their chances."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, others + 1)))])
    outside = others - random_n

    def choose(n: Places | int, k: Places | int) -> Any:
        return logs[n] - logs[k] - logs[n - k]

    places = np.arange(targeted_n, targeted_n + random_n + 1)
    before = choose(places - 1, targeted_n - 1)
    behind = choose(others - places, outside - targeted_n)
    return places, np.exp(before + behind - choose(others, outside))


def elbow(margins: ArrayLike) -> int:
    """Where the sorted margins begin to fall away: how many pairs stand before that point.

    Margins in descending order make a curve whose right end drops, since a reward model that has
    learnt from mostly right labels contradicts the wrong ones. The elbow is the point of the
    right half that lies furthest above the straight line from the middle to the end
    (the construction of Satopää et al. 2011; RLTHF reads the same point off the same curve).

    Args:
        margins: [pair] in any order.
    """
    curve = np.sort(_signal(margins, "margins", None))[::-1]
    middle = len(curve) // 2
    half = curve[middle:]
    chord = np.linspace(half[0], half[-1], len(half))
    return middle + int(np.argmax(half - chord))


def rlthf_order(margins: ArrayLike) -> Places:
    """Pairs in the order in which RLTHF's reading of the reward distribution sends them to people.

    AI labels come first, a reward model is fitted to them, and the pairs are sorted by the margin
    with which it sides with their labels. Two regions need people: where model and label disagree
    (negative margins, the most negative first), and around the elbow, where the curve begins to
    fall and labels are right and wrong in turn (the nearest ranks first). They are served
    alternately; where no disagreement is left, the elbow's neighbourhood grows on. The paper
    (Xu et al. 2025, arXiv:2502.13417) chooses the regions by eye and in rounds; the alternation is
    ours, so that any budget gives one order.

    Args:
        margins: [pair] score of the AI-preferred reply less that of the other.

    Returns:
        [pair] places, the first to be asked about first.
    """
    values = _signal(margins, "margins", None)
    descending = np.argsort(-values, kind="stable")
    distance = np.abs(np.arange(len(values)) - elbow(values))
    around = descending[np.argsort(distance, kind="stable")]
    disagreeing = descending[::-1][: int((values < 0).sum())]
    return _alternately(disagreeing, around)


def _alternately(first: Places, second: Places) -> Places:
    """One of each in turn, each item at its first appearance."""
    turns = np.concatenate([2 * np.arange(len(first)), 2 * np.arange(len(second)) + 1])
    merged = np.concatenate([first, second])[np.argsort(turns, kind="stable")]
    _, at = np.unique(merged, return_index=True)
    return merged[np.sort(at)]


def _by_margin(signals: Signals, shuffled: Places) -> Places:
    margins = _signal(signals.margins, "margins", len(shuffled))[shuffled]
    return np.argsort(np.abs(margins), kind="stable")


def _by_disagreement(signals: Signals, shuffled: Places) -> Places:
    verdicts = _signal(signals.verdicts, "verdicts", len(shuffled))
    if verdicts.ndim != 2 or verdicts.shape[1] < 2:
        raise DataError(
            "one judge cannot disagree",
            where="verdicts",
            expected="[pair, judge] with at least two judges",
            got=f"an array of shape {verdicts.shape}",
        )
    return np.argsort(-verdicts[shuffled].std(axis=1), kind="stable")


def _by_rlthf(signals: Signals, shuffled: Places) -> Places:
    return rlthf_order(_signal(signals.margins, "margins", len(shuffled))[shuffled])


def _in_any_order(_: Signals, shuffled: Places) -> Places:
    return np.arange(len(shuffled))


_ORDERS: dict[Strategy, Callable[[Signals, Places], Places]] = {
    "random": _in_any_order,
    "rm_margin": _by_margin,
    "judge_disagreement": _by_disagreement,
    "rlthf": _by_rlthf,
}


def _signal(values: ArrayLike | None, name: str, length: int | None) -> Floats:
    if values is None:
        raise DataError(
            f"the strategy goes by {name}, and there are none",
            where="signals",
            remedy="hand them over, or select at random",
        )
    array = np.asarray(values, dtype=np.float64)
    if not array.size or (length is not None and len(array) != length):
        raise DataError(
            f"the {name} do not fit the pool",
            where="signals",
            expected="one row per item" if length is None else f"{length} rows",
            got=f"{len(array)}",
        )
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise DataError(f"{bad} of the {name} are no finite numbers", where="signals")
    return array


def _check(pool: int, budget: int, strategy: str, random_share: float) -> None:
    if strategy not in _ORDERS:
        raise ConfigError(
            "no such strategy", where="strategy", expected=", ".join(STRATEGIES), got=strategy
        )
    if pool < 1 or budget < 1:
        raise ConfigError(
            "nothing to choose", where="budget", expected="at least 1", got=f"{budget} of {pool}"
        )
    if not LEAST_RANDOM <= random_share <= 1:
        raise ConfigError(
            "the random stratum is too small, and all estimates rest on it",
            where="random_share",
            expected=f"{LEAST_RANDOM} to 1",
            got=f"{random_share}",
        )


# Estimates


def horvitz_thompson(values: ArrayLike, propensity: ArrayLike, pool: int) -> Estimate:
    """Mean of a quantity over the whole pool, from the items that were chosen.

    Each value stands for 1/propensity items (Horvitz and Thompson 1952). The variance is Hájek's
    (1964) approximation for samples of fixed size, which is the textbook one for a simple random
    sample and 0 for items that were certain. The interval is Student's over the items that were not
    certain; with fewer than some thirty of them, and rare events, it is too short.

    Args:
        values: [chosen] the quantity.
        propensity: [chosen] probability with which each was chosen.
        pool: how many items there are.

    Raises:
        DataError: nothing was chosen, or a propensity is not in (0, 1].
    """
    y, weight = _weighted(values, propensity)
    value = float((weight * y).sum() / pool)
    return _estimate(value, y, weight, pool, "Horvitz-Thompson")


def hajek(values: ArrayLike, propensity: ArrayLike) -> Estimate:
    """The same as a weighted mean: the size of the pool is estimated too (Hájek 1971).

    Steadier than Horvitz-Thompson where the values do not shrink with the propensities; exact
    where all values are equal. The variance is that of the residuals.

    Args:
        values: [chosen] the quantity.
        propensity: [chosen] probability with which each was chosen.

    Raises:
        DataError: nothing was chosen, or a propensity is not in (0, 1].
    """
    y, weight = _weighted(values, propensity)
    size = float(weight.sum())
    value = float((weight * y).sum() / size)
    return _estimate(value, y - value, weight, size, "Hájek")


def _weighted(values: ArrayLike, propensity: ArrayLike) -> tuple[Floats, Floats]:
    y = np.asarray(values, dtype=np.float64)
    chances = np.asarray(propensity, dtype=np.float64)
    if not y.size or y.shape != chances.shape:
        raise DataError(
            "an estimate needs as many propensities as values",
            expected="the same number, at least 1",
            got=f"{y.size} values and {chances.size} propensities",
        )
    if not (np.isfinite(y).all() and ((chances > 0) & (chances <= 1)).all()):
        raise DataError(
            "values must be finite and propensities probabilities",
            expected="propensities above 0 and up to 1",
            got=f"propensities from {chances.min():.3g} to {chances.max():.3g}",
        )
    return y, cast(Floats, 1 / chances)


def _estimate(value: float, y: Floats, weight: Floats, size: float, name: str) -> Estimate:
    variance, count = _variance(y, weight)
    half = _quantile(count - 1) * float(np.sqrt(variance)) / size
    method = f"{name}, t interval over the random choice of items"
    return Estimate(value=value, low=value - half, high=value + half, n=len(y), method=method)


def _variance(y: Floats, weight: Floats) -> tuple[float, int]:
    """Hájek's approximate variance of the weighted total, and on how many uncertain items.

    Items that were certain to be chosen add nothing.
    """
    uncertain = weight > 1
    count = int(uncertain.sum())
    if count < 2:
        return 0.0, count
    share = 1 - 1 / weight[uncertain]
    expanded = (weight * y)[uncertain]
    centre = (share * expanded).sum() / share.sum()
    return count / (count - 1) * float((share * (expanded - centre) ** 2).sum()), count


def _quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t, expanded in 1/freedom (Abramowitz and Stegun 26.7.5).

    Right to a hundredth from six degrees of freedom on.
    """
    z, n = Z, max(freedom, 1)
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + terms[0] / n + terms[1] / n**2 + third / n**3
