"""Best-of-n: what the best of n samples by a proxy is worth in gold, and how far it moves.

Stiennon et al. 2020, arXiv:2009.01325; Gao et al. 2022, arXiv:2210.10760; Beirami et al. 2024,
arXiv:2401.01879.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.stats.arrays import finite, same_length
from fairlead.stats.means import mean_estimate


def best_of_n_kl_bound(n: int) -> float:
    """Upper bound of the KL from the reference to best-of-n, in nats: log n - (n - 1) / n.

    Exact where no two samples tie (Beirami et al. 2024, arXiv:2401.01879).
    """
    _check_n(n, n)
    return math.log(n) - (n - 1) / n


def best_of_n_kl(probabilities: ArrayLike, scores: ArrayLike, n: int) -> float:
    """Exact KL from a known reference to its best-of-n, in nats.

    Outcomes of one score stand for each other: which of them is picked among equals changes
    nothing, since best-of-n keeps their shares. A class of probability p, of which F scores at most
    as much, is picked with probability q = F^n - (F - p)^n; the KL is the sum of q log(q / p).

    Args:
        probabilities: [outcome] under the reference; they add up to 1.
        scores: [outcome] score of each.
        n: how many samples compete.

    Raises:
        DataError: lengths differ, n is below 1, or these are no probabilities.
    """
    chances, ranks = finite(probabilities, "probabilities"), finite(scores, "scores")
    same_length(probabilities=chances, scores=ranks)
    _check_n(n, n)
    if chances.min() < 0 or not math.isclose(float(chances.sum()), 1.0, abs_tol=1e-6):
        raise DataError(
            "probabilities must be from 0 on and add up to 1",
            expected="1",
            got=f"{chances.sum():g}",
            remedy="give every outcome of the reference once",
        )
    _, classes = np.unique(ranks, return_inverse=True)
    own = np.bincount(classes, weights=chances)
    reached = np.minimum(own.cumsum(), 1.0)
    picked = reached**n - np.maximum(reached - own, 0.0) ** n
    some = picked > 0
    return float(picked[some] @ np.log(picked[some] / own[some]))


def best_of_n_kl_estimate(logp: float, n: int) -> float:
    """Estimate of the KL to the reference, in nats, from the reply that best-of-n gave.

    Takes it for the one top outcome, of probability e, over a continuum of others:
    (1 - e)^n (log n + (n - 1) log(1 - e) - (n - 1) / n) + (1 - (1 - e)^n) log((1 - (1 - e)^n) / e).
    It is the bound log n - (n - 1) / n for e near 0, and 0 for e = 1, where the bound stays above
    what can be reached.

    Args:
        logp: log-probability of the reply under the reference, in nats.
        n: how many samples competed.

    Raises:
        DataError: n is below 1.
    """
    _check_n(n, n)
    chance = min(math.exp(logp), 1.0)
    missed = n * math.log1p(-chance) if chance < 1 else -math.inf
    others, top = math.exp(missed), -math.expm1(missed)
    below = math.log(n) + (n - 1) * math.log1p(-chance) - (n - 1) / n if others else 0.0
    above = math.log(top / chance) if chance else 0.0
    return others * below + top * above


def expected_best_of_n(proxy: ArrayLike, gold: ArrayLike, n: int) -> float:
    """Unbiased estimate, from N samples of one prompt, of the gold of the proxy's best of n.

    With gold sorted by ascending proxy: sum over k = n..N of C(k-1, n-1) / C(N, n) * gold_(k).
    Samples that tie on the proxy share their places (the mean over random orders).

    Args:
        proxy: [sample] score by which the best is picked.
        gold: [sample] score that counts.
        n: how many samples compete; at most N.

    Raises:
        DataError: lengths differ, or n is not from 1 to N.
    """
    picked, worth = finite(proxy, "proxy scores"), finite(gold, "gold scores")
    same_length(proxy=picked, gold=worth)
    _check_n(n, picked.size)
    _, tied = np.unique(picked, return_inverse=True)
    shared = (np.bincount(tied, weights=worth) / np.bincount(tied))[tied]
    return float(_weights(picked.size, n) @ shared[np.argsort(picked, kind="stable")])


def affordable_n(budget: float, *, fixed: float, each: float) -> float:
    """How many samples a budget pays for, `fixed` once and `each` for every sample; at least 1.

    The number need not be whole: n + f stands for n + 1 samples with probability f, else n, which
    costs the budget on average; see `expected_at`.
    """
    return max((budget - fixed) / each, 1.0)


def expected_at(proxy: ArrayLike, gold: ArrayLike, n: float) -> float:
    """`expected_best_of_n` for a number of samples that need not be whole; see `affordable_n`."""
    fewer, share = math.floor(n), n - math.floor(n)
    low = expected_best_of_n(proxy, gold, fewer)
    return low if not share else low + share * (expected_best_of_n(proxy, gold, fewer + 1) - low)


def best_of_n(proxy: ArrayLike, gold: ArrayLike, n: int) -> Estimate:
    """Expected gold of the proxy's best of n, averaged over prompts, with a t interval over them.

    Args:
        proxy: [prompt, sample] scores by which the best is picked.
        gold: [prompt, sample] scores that count.
        n: how many samples compete; at most the samples per prompt.

    Raises:
        DataError: shapes differ, n is too large, or there are fewer than two prompts.
    """
    picked, worth = np.asarray(proxy, dtype=float), np.asarray(gold, dtype=float)
    if picked.ndim != 2 or picked.shape != worth.shape:
        raise DataError(
            "proxy and gold must be tables of one shape",
            expected="[prompt, sample] twice",
            got=f"{picked.shape} and {worth.shape}",
            remedy="give both scores of every sample, one row per prompt",
        )
    each = [expected_best_of_n(p, g, n) for p, g in zip(picked, worth, strict=True)]
    estimate = mean_estimate(each)
    method = f"order statistics, best of {n} from {picked.shape[1]} samples; {estimate.method}"
    return estimate.model_copy(update={"method": method})


def _weights(samples: int, n: int) -> NDArray[np.float64]:
    """Probability that the k-th lowest of all samples is the best of n drawn without return."""
    k = np.arange(n, samples + 1)
    weights = np.zeros(samples)
    weights[n - 1 :] = np.exp(_log_choose(k - 1, n - 1) - _log_choose(samples, n))
    return weights


def _log_choose(total: ArrayLike, taken: int) -> NDArray[np.float64]:
    count = np.asarray(total, dtype=float)
    return gammaln(count + 1) - gammaln(taken + 1) - gammaln(count - taken + 1)


def _check_n(n: int, samples: int) -> None:
    if not 1 <= n <= samples:
        raise DataError(
            "best-of-n needs n from 1 to the number of samples",
            expected=f"1 to {max(samples, 1)}",
            got=str(n),
            remedy="draw more samples per prompt or ask for a smaller n",
        )
