"""Agreement of rankings."""

import numpy as np
from numpy.typing import ArrayLike

from fairlead.core.seeds import Seed
from fairlead.stats.agreement.coefficient import Codes, Coefficient, Floats, estimated
from fairlead.stats.arrays import by_key, same_length


def rank_agreement(
    items: Codes, people: Codes, candidates: Codes, ranks: ArrayLike, *, seed: Seed
) -> Coefficient:
    """Kendall's tau-b between two people's rankings of one item, averaged over pairs, then items.

    Only candidates that both ranked count (partial rankings are fine). A pair of rankings of which
    one ties everything has no tau and is left out; the method counts them. Kendall 1945.

    Args:
        items: [row] item number.
        people: [row] number of the person.
        candidates: [row] number of the ranked candidate.
        ranks: [row] its rank; equal ranks are ties.
        seed: of the bootstrap over items.
    """
    same_length(items=items, people=people, candidates=candidates, ranks=np.asarray(ranks))
    rows: list[tuple[float, float]] = []
    undefined = 0
    for own in by_key(items):
        taus = _taus(people[own], candidates[own], np.asarray(ranks, dtype=np.float64)[own])
        defined = taus[np.isfinite(taus)]
        undefined += len(taus) - len(defined)
        if len(defined):
            rows.append((float(defined.mean()), 1.0))
    if not rows:
        return Coefficient(name="kendall_tau_b", why="no item was ranked by two people")
    found = estimated("kendall_tau_b", lambda s: s[..., 0] / s[..., 1], np.array(rows), seed)
    if undefined:
        note = f"{found.method}; {undefined} pairs of rankings left out, one of them all tied"
        return found.model_copy(update={"method": note})
    return found


def _taus(people: Codes, candidates: Codes, ranks: Floats) -> Floats:
    """Tau-b of every two people's rankings of one item."""
    who, i = np.unique(people, return_inverse=True)
    what, j = np.unique(candidates, return_inverse=True)
    table = np.full((len(who), len(what)), np.nan)
    table[i, j] = ranks
    a, b = np.triu_indices(len(what), 1)
    order = np.nan_to_num(np.sign(table[:, a] - table[:, b]))
    known = np.isfinite(table[:, a] - table[:, b])
    x, y = np.triu_indices(len(who), 1)
    both = known[x] & known[y]
    agree = (order[x] * order[y] * both).sum(1)
    sizes = (order[x] ** 2 * both).sum(1) * (order[y] ** 2 * both).sum(1)
    return np.where(sizes > 0, agree / np.sqrt(np.maximum(sizes, 1)), np.nan)
