"""pass@k: the chance that at least one of k samples of a problem is right.

Chen et al. 2021, arXiv:2107.03374, eq. 1.
"""

import math

from fairlead.core.errors import DataError


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased estimate of pass@k from `n` samples of which `correct` are right.

    1 - C(n - correct, k) / C(n, k), in exact integers until the last division. Average it over
    problems; the plug-in 1 - (1 - correct/n)^k is biased.

    Args:
        n: samples drawn for the problem.
        correct: how many of them are right.
        k: how many tries are granted; at most n.

    Raises:
        DataError: not 1 <= k <= n, or not 0 <= correct <= n.
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise DataError(
            "pass@k needs at least k samples, of which 0 to n are right",
            expected="1 <= k <= n and 0 <= correct <= n",
            got=f"n = {n}, correct = {correct}, k = {k}",
            remedy="draw more samples per problem or ask for a smaller k",
        )
    all_wrong, all_tries = math.comb(n - correct, k), math.comb(n, k)
    return (all_tries - all_wrong) / all_tries
