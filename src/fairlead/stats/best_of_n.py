"""Best-of-n: what the best of n samples by a proxy is worth in gold, and how far it moves.

Stiennon et al. 2020, arXiv:2009.01325; Gao et al. 2022, arXiv:2210.10760.
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
