"""Answers that are those of another person, also where that person deviates from the rest."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fairlead.feedback.quality.outliers.cases import LEAST, Case, Cases, Codes, Floats, percent
from fairlead.feedback.quality.outliers.crowd import Crowd, leading
from fairlead.stats.proportions import proportion

COPIED_BY_CHANCE = 0.1
"""Share of answers that an honest person may have in common with another beyond expectation."""
COPIED = 0.5
"""Estimated share of copied answers from which it is reported."""
LATER = 0.8
"""Share of shared answers given later from which it is clear who copied."""


def copying(crowd: Crowd) -> Cases:
    """Gives the same answers as another person, on the usual items and on the odd ones."""
    if why := crowd.too_small():
        return why
    size, k = len(crowd.names), len(crowd.table.labels.names)
    matrix = np.full((size, len(crowd.table.items.names)), -1)
    matrix[crowd.people, crowd.items] = crowd.given
    pairs = [found for other in range(size) for found in _followers(crowd, matrix, other, k)]
    if not pairs:
        return f"no two people share {LEAST} items"
    deviating = sum(p.deviating for p in pairs)
    # How often two honest people deviate from the rest in the same way: hard items mislead both.
    together = sum(p.deviating_same for p in pairs) / max(deviating, 1)
    # Who answered first has copied nothing; without times the two cannot be told apart.
    return [_copy_case(crowd, pair, together) for pair in pairs if not pair.later < LATER]


class _Pair(BaseModel):
    """What one person (a possible copier) has in common with another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: int
    other: int
    usual: int
    """Shared items on which the other agrees with the rest."""
    usual_same: int
    deviating: int
    """Shared items on which the other deviates from the rest."""
    deviating_same: int
    later: float
    """Share of equal answers that the person gave after the other; nan where times are unknown."""


def _followers(crowd: Crowd, matrix: Codes, other: int, k: int) -> list[_Pair]:
    """Everyone who shares enough items with `other`."""
    items = np.flatnonzero(matrix[other] >= 0)
    theirs, mine = matrix[other, items], matrix[:, items]
    shared = mine >= 0
    shared[other] = False
    who = np.flatnonzero(shared.sum(axis=1) >= LEAST)
    if not len(who):
        return []
    own = np.where(shared[who][:, :, None], np.eye(k)[mine[who]], 0.0)
    rest = crowd.counts[items] - np.eye(k)[theirs]
    reference = leading((rest[None] - own).reshape(-1, k)).reshape(len(who), -1)
    same = shared[who] & (mine[who] == theirs)
    usual = shared[who] & ((reference == theirs) | (reference < 0))
    deviating = shared[who] & ~usual
    later = _later(crowd, matrix.shape, who, other, items, same)
    return [
        _Pair(
            person=int(person),
            other=other,
            usual=int(usual[i].sum()),
            usual_same=int((usual[i] & same[i]).sum()),
            deviating=int(deviating[i].sum()),
            deviating_same=int((deviating[i] & same[i]).sum()),
            later=later[i],
        )
        for i, person in enumerate(who.tolist())
    ]


def _later(
    crowd: Crowd,
    shape: tuple[int, ...],
    who: Codes,
    other: int,
    items: Codes,
    same: NDArray[np.bool_],
) -> list[float]:
    if crowd.table.when is None:
        return [np.nan] * len(who)
    moments = np.full(shape, np.nan)
    moments[crowd.people, crowd.items] = crowd.table.when
    gap = moments[who][:, items] - moments[other, items]
    known = same & np.isfinite(gap)
    total = known.sum(axis=1)
    return np.where(
        total > 0, (known & (gap > 0)).sum(axis=1) / np.maximum(total, 1), np.nan
    ).tolist()


def _copy_case(crowd: Crowd, pair: _Pair, together: float) -> Case:
    rate = float(crowd.majority.rate[pair.person])
    expected = np.array([rate, max(together, 1 - rate)])
    n = np.array([pair.usual, pair.deviating])
    same = np.array([pair.usual_same, pair.deviating_same])
    limit = expected + COPIED_BY_CHANCE * (1 - expected)
    total, seen = int(n.sum()), int(same.sum())
    by_chance = float(n @ expected)
    copied = (seen - by_chance) / max(total - by_chance, 1e-9)
    share = proportion(seen, total)
    them = crowd.names[pair.other]
    told = (
        f"and answered later in {pair.later:.0%} of them"
        if np.isfinite(pair.later)
        else "which of the two copied, or whether both did, cannot be told without times"
    )
    return Case(
        person=pair.person,
        p=chernoff(same, n, limit),
        share=share,
        threshold=float(n @ limit) / total,
        notable=copied >= COPIED,
        reason=f"copies {them}: same answer on {percent(share)} of {total} shared items, and on "
        f"{pair.deviating_same} of {pair.deviating} where {them} deviates from the others; "
        f"{by_chance / total:.0%} would be expected, {float(n @ limit) / total:.0%} is the "
        f"threshold; {told}",
        weight=1 - copied,
        other=them,
    )


def chernoff(hits: Codes, trials: Codes, chances: Floats) -> float:
    """Bound of the chance of such evidence from independent trials of several kinds.

    Each kind's hits weigh log(1 / chance), as a hit is worth more where it is rare; the bound is
    Chernoff's on the weighted sum, so it is never below the true chance.

    Args:
        hits: [kind] how often it happened.
        trials: [kind] out of how many.
        chances: [kind] chance of each.
    """
    p = np.clip(chances, 1e-6, 1 - 1e-6)
    worth = -np.log(p)
    seen = float(hits @ worth)
    if seen <= float(trials @ (p * worth)):
        return 1.0
    tilts = np.concatenate([np.linspace(0.05, 10, 200), np.geomspace(10, 500, 60)])
    each = np.logaddexp(np.log1p(-p), np.log(p) + tilts[:, None] * worth)
    return float(np.exp(min(0.0, (each @ trials - tilts * seen).min())))
