"""Agreement of two people, and its mean over all pairs."""

from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict
from scipy import sparse

from fairlead.core.seeds import Seed
from fairlead.stats.agreement.coefficient import (
    MOST_LEVELS,
    Codes,
    Coefficient,
    Floats,
    estimated,
    one_label,
    ratio,
)
from fairlead.stats.arrays import by_key, same_length

Weights = Literal["none", "linear", "quadratic"]
Shared = dict[tuple[int, int], tuple[Codes, Codes, Codes]]


class PairOfPeople(BaseModel):
    """Agreement of two people on the items that both labelled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int
    second: int
    shared: int
    """Items that both labelled."""
    kappa: Coefficient


def cohen_kappa(
    first: ArrayLike,
    second: ArrayLike,
    labels: int,
    *,
    weights: Weights = "none",
    seed: Seed,
) -> Coefficient:
    """Cohen's kappa of two people on the same items, plain or weighted by distance.

    1 - disagreement / disagreement expected from both people's own shares of labels, where a pair
    of labels counts 0 or 1 ("none"), their distance in order ("linear") or its square
    ("quadratic"). Cohen 1960, 1968.

    Args:
        first: [item] label numbers from 0, in order for weighted kappa.
        second: [item] the other person's.
        labels: how many different labels there are.
        weights: how disagreement is counted.
        seed: of the bootstrap.
    """
    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    same_length(first=a, second=b)
    if not a.size:
        return Coefficient(name=_kappa_name(weights), why="no item was labelled by both")
    if len(np.unique(np.concatenate([a, b]))) == 1:
        return Coefficient(name=_kappa_name(weights), n=a.size, why=one_label(2 * a.size))
    cells = np.eye(labels**2)[a * labels + b]
    return estimated(
        _kappa_name(weights), lambda s: _kappas(s, labels, weights)[..., 0], cells, seed
    )


def mean_pairwise_kappa(
    items: Codes,
    people: Codes,
    given: Codes,
    labels: int,
    *,
    weights: Weights = "none",
    seed: Seed,
) -> Coefficient:
    """Mean of Cohen's kappa over pairs of people (Light 1971), weighted by the items they share.

    Pairs with one label only have no kappa and are left out of the mean; the method counts them.

    Args:
        items: [row] item number of each label.
        people: [row] number of the person who gave it; one row per item and person.
        given: [row] label numbers.
        labels: how many different labels there are.
        weights: as in `cohen_kappa`.
        seed: of the bootstrap, which draws items.
    """
    name = f"mean_{_kappa_name(weights)}"
    if labels > MOST_LEVELS:
        return Coefficient(name=name, why=f"more than {MOST_LEVELS} different labels")
    pairs = _shared(items, people, given)
    if not pairs:
        return Coefficient(name=name, why="no two people share an item")
    rows = _pair_rows(pairs, labels)
    alone = _kappas(np.asarray(rows.sum(axis=0)).ravel(), labels, weights)
    if not np.isfinite(alone).any():
        return Coefficient(name=name, why="each pair of people gave one label only")

    def mean(sums: Floats) -> Floats:
        kappas = _kappas(sums, labels, weights)
        shared = sums.reshape(*sums.shape[:-1], -1, labels**2).sum(-1) * np.isfinite(kappas)
        total = shared.sum(-1)
        return np.where(total > 0, np.nansum(shared * kappas, -1) / np.maximum(total, 1), np.nan)

    found = estimated(name, mean, rows, seed, interval="percentile")
    left_out = f"{np.isfinite(alone).sum()} pairs of people"
    if undefined := int(np.sum(~np.isfinite(alone))):
        left_out += f", {undefined} more with one label only left out"
    return found.model_copy(update={"method": f"mean over {left_out}; {found.method}"})


def pairwise_kappas(
    items: Codes, people: Codes, given: Codes, labels: int, *, seed: Seed, least: int = 2
) -> list[PairOfPeople]:
    """Cohen's kappa of every two people who share at least `least` items.

    Args:
        items: [row] item number of each label.
        people: [row] number of the person who gave it; one row per item and person.
        given: [row] label numbers.
        labels: how many different labels there are.
        seed: of the bootstraps.
        least: fewest shared items.
    """
    return [
        PairOfPeople(
            first=a,
            second=b,
            shared=len(x),
            kappa=cohen_kappa(x, y, labels, seed=seed.child(a, b)),
        )
        for (a, b), (_, x, y) in _shared(items, people, given).items()
        if len(x) >= least
    ]


def _kappa_name(weights: Weights) -> str:
    return "cohen_kappa" if weights == "none" else f"cohen_kappa_{weights}"


def _distances(labels: int, weights: Weights) -> Floats:
    apart = np.abs(np.subtract.outer(np.arange(labels), np.arange(labels))).astype(float)
    return {"none": (apart > 0).astype(float), "linear": apart, "quadratic": apart**2}[weights]


def _kappas(sums: Floats, labels: int, weights: Weights) -> Floats:
    """[..., pair] from tables of label pairs [..., pair * label * label]."""
    seen = sums.reshape(*sums.shape[:-1], -1, labels, labels)
    apart = _distances(labels, weights)
    observed = (seen * apart).sum((-2, -1)) * seen.sum((-2, -1))
    expected = np.einsum("...i,ij,...j->...", seen.sum(-1), apart, seen.sum(-2), optimize=True)
    return ratio(observed, expected)


def _shared(items: Codes, people: Codes, given: Codes) -> Shared:
    """For every two people who share items: those items, and both people's labels of them."""
    same_length(items=items, people=people, given=given)
    own = {int(people[rows[0]]): rows[np.argsort(items[rows])] for rows in by_key(people)}
    found: Shared = {}
    for a, b in combinations(sorted(own), 2):
        both, i, j = np.intersect1d(
            items[own[a]], items[own[b]], assume_unique=True, return_indices=True
        )
        if len(both):
            found[a, b] = (both, given[own[a]][i], given[own[b]][j])
    return found


def _pair_rows(pairs: Shared, labels: int) -> sparse.csr_array:
    """[item, pair * label * label] with a one for each pair of labels."""
    items = np.concatenate([both for both, _, _ in pairs.values()])
    cells = [k * labels**2 + x * labels + y for k, (_, x, y) in enumerate(pairs.values())]
    _, rows = np.unique(items, return_inverse=True)
    shape = (int(rows.max()) + 1, len(pairs) * labels**2)
    return sparse.csr_array((np.ones(len(items)), (rows, np.concatenate(cells))), shape=shape)
