"""How far people (or judges) agree who labelled the same items, beyond what chance would give.

Every coefficient comes with a bootstrap interval over items, and where it is undefined it says why:
a corpus with one label only has no agreement beyond chance, neither 1 nor nan.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy import sparse

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.stats.arrays import Clusters, codes, same_length
from fairlead.stats.resampling import Interval, bootstrap_of_sums

Level = Literal["nominal", "ordinal", "interval"]
Weights = Literal["none", "linear", "quadratic"]
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

MOST_LEVELS = 60
"""Most different labels for coefficients that look at every pair of labels."""


class Coefficient(BaseModel):
    """An agreement with its 95 % interval, or the reason why there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Items (or clusters of items) behind the value."""
    method: str = ""
    """How the interval was made, in words."""
    seed: int | None = None
    why: str = ""
    """Why the value or its interval is missing; empty where both are there."""

    def __str__(self) -> str:
        if self.value is None:
            return f"undefined: {self.why}"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}, no interval: {self.why}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.n})"


class PairOfPeople(BaseModel):
    """Agreement of two people on the items that both labelled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int
    second: int
    shared: int
    """Items that both labelled."""
    kappa: Coefficient


def percent_agreement(
    counts: ArrayLike, *, seed: Seed, clusters: Clusters | None = None
) -> Coefficient:
    """Chance that two labels of one item, by different people, are equal; a mean over items.

    Args:
        counts: [item, label] how many people gave each label.
        seed: of the bootstrap.
        clusters: [item] key of what items belong to (a solution of steps); None for independent.
    """
    table = _paired(counts, clusters)
    if not len(table.counts):
        return Coefficient(name="percent", why=NO_PAIRS)
    rows = table.summed(np.stack([_agreeing(table.counts), np.ones(len(table.counts))], 1))
    return _estimated("percent", lambda s: s[..., 0] / s[..., 1], rows, seed)


def fleiss_kappa(counts: ArrayLike, *, seed: Seed, clusters: Clusters | None = None) -> Coefficient:
    """Fleiss' kappa: agreement beyond what drawing labels by their shares would give.

    (P - Pe) / (1 - Pe), with P the mean over items of the share of agreeing pairs and Pe the sum
    of squared shares of labels (Fleiss 1971). Where items differ in their number of labels, shares
    are over all labels of items with at least two.

    Args:
        counts: [item, label] how many people gave each label.
        seed: of the bootstrap.
        clusters: [item] key of what items belong to; None for independent items.
    """
    table = _paired(counts, clusters)
    if why := table.no_variety():
        return Coefficient(name="fleiss_kappa", why=why)
    shares = np.stack([_agreeing(table.counts), np.ones(len(table.counts))], 1)

    def kappa(sums: Floats) -> Floats:
        seen = sums[..., 0] / sums[..., 1]
        labels = sums[..., 2:]
        chance = ((labels / labels.sum(-1, keepdims=True)) ** 2).sum(-1)
        return _beyond(seen, chance)

    rows = table.summed(np.concatenate([shares, table.counts], 1))
    return _estimated("fleiss_kappa", kappa, rows, seed)


def krippendorff_alpha(
    counts: ArrayLike,
    level: Level = "nominal",
    *,
    values: ArrayLike | None = None,
    seed: Seed,
    clusters: Clusters | None = None,
) -> Coefficient:
    """Krippendorff's alpha: 1 - observed / expected disagreement; takes missing labels as they are.

    Disagreement is 0 or 1 (nominal), the squared difference of values (interval) or the squared
    number of labels that lie between two (ordinal). Krippendorff 2011, "Computing Krippendorff's
    alpha-reliability".

    Args:
        counts: [item, label] how many people gave each label; labels in their order for "ordinal".
        level: what the labels are.
        values: [label] numbers, for "interval".
        seed: of the bootstrap.
        clusters: [item] key of what items belong to; None for independent items.

    Raises:
        DataError: "interval" without one value per label.
    """
    name = f"krippendorff_alpha_{level}"
    table = _paired(counts, clusters)
    if why := table.no_variety():
        return Coefficient(name=name, why=why)
    if level == "nominal":
        return _estimated(name, _nominal_alpha, table.summed(_nominal_rows(table.counts)), seed)
    if level == "interval":
        numbers = np.asarray(values if values is not None else [], dtype=np.float64)
        same_length(labels=table.counts[0], values=numbers)
        return _estimated(
            name, _interval_alpha, table.summed(_interval_rows(table.counts, numbers)), seed
        )
    if table.counts.shape[1] > MOST_LEVELS:
        return Coefficient(name=name, why=f"more than {MOST_LEVELS} different labels")
    return _estimated(name, _ordinal_alpha, table.summed(_coincidences(table.counts)), seed)


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
        return Coefficient(name=_kappa_name(weights), n=a.size, why=_one_label(2 * a.size))
    cells = np.eye(labels**2)[a * labels + b]
    return _estimated(
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

    found = _estimated(name, mean, rows, seed, interval="percentile")
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
    for own in _by_key(items):
        taus = _taus(people[own], candidates[own], np.asarray(ranks, dtype=np.float64)[own])
        defined = taus[np.isfinite(taus)]
        undefined += len(taus) - len(defined)
        if len(defined):
            rows.append((float(defined.mean()), 1.0))
    if not rows:
        return Coefficient(name="kendall_tau_b", why="no item was ranked by two people")
    found = _estimated("kendall_tau_b", lambda s: s[..., 0] / s[..., 1], np.array(rows), seed)
    if undefined:
        note = f"{found.method}; {undefined} pairs of rankings left out, one of them all tied"
        return found.model_copy(update={"method": note})
    return found


NO_PAIRS = "no item has labels by two people"


class _Table:
    """Items with at least two labels, and how to add them up by cluster."""

    def __init__(self, counts: Floats, clusters: NDArray[np.int64]) -> None:
        self.counts = counts
        self._clusters = clusters

    def no_variety(self) -> str:
        """Why no coefficient beyond chance is defined; empty where it is."""
        if not len(self.counts):
            return NO_PAIRS
        used = self.counts.sum(axis=0)
        return _one_label(int(used.sum())) if np.count_nonzero(used) == 1 else ""

    def summed(self, rows: Floats) -> Floats:
        """[cluster, d] from [item, d]."""
        _, numbers = np.unique(self._clusters, return_inverse=True)
        sums = np.zeros((int(numbers.max()) + 1, rows.shape[1]))
        np.add.at(sums, numbers, rows)
        return sums


def _one_label(n: int) -> str:
    return f"all {n} labels are the same, so agreement by chance is certain"


def _paired(counts: ArrayLike, clusters: Clusters | None) -> _Table:
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or (table < 0).any():
        raise DataError(
            "agreement needs a table of counts",
            expected="[item, label] with no count below 0",
            got=f"shape {table.shape}",
        )
    enough = table.sum(axis=1) >= 2
    return _Table(table[enough], codes(clusters, len(table))[enough])


def _agreeing(counts: Floats) -> Floats:
    """Share of agreeing pairs of each item."""
    n = counts.sum(axis=1)
    return (counts * (counts - 1)).sum(axis=1) / (n * (n - 1))


def _beyond(seen: Floats, chance: Floats) -> Floats:
    """(seen - chance) / (1 - chance); nan where chance is certain."""
    room = 1 - chance
    certain = room <= 1e-12
    return np.where(certain, np.nan, (seen - chance) / np.where(certain, 1, room))


def _ratio(observed: Floats, expected: Floats) -> Floats:
    """1 - observed / expected; nan where nothing is expected."""
    none = expected <= 1e-12
    return np.where(none, np.nan, 1 - observed / np.where(none, 1, expected))


def _nominal_rows(counts: Floats) -> Floats:
    n = counts.sum(axis=1, keepdims=True)
    observed = (counts * (n - counts)).sum(axis=1, keepdims=True) / (n - 1)
    return np.concatenate([observed, counts], axis=1)


def _nominal_alpha(sums: Floats) -> Floats:
    observed, labels = sums[..., 0], sums[..., 1:]
    n = labels.sum(-1)
    expected = (n**2 - (labels**2).sum(-1)) / np.maximum(n - 1, 1)
    return _ratio(observed, expected)


def _interval_rows(counts: Floats, values: Floats) -> Floats:
    centred = values - np.average(values, weights=counts.sum(axis=0))
    centred = centred / (np.abs(centred).max() or 1.0)
    n, first, second = counts.sum(axis=1), counts @ centred, counts @ centred**2
    observed = (2 * n * second - 2 * first**2) / (n - 1)
    return np.stack([observed, n, first, second], axis=1)


def _interval_alpha(sums: Floats) -> Floats:
    observed, n, first, second = np.moveaxis(sums, -1, 0)
    return _ratio(observed, (2 * n * second - 2 * first**2) / np.maximum(n - 1, 1))


def _coincidences(counts: Floats) -> Floats:
    """[item, label * label] pairs of labels within each item, each item weighing its labels."""
    k = counts.shape[1]
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, np.arange(k), np.arange(k)] -= counts
    return (pairs / (counts.sum(axis=1) - 1)[:, None, None]).reshape(len(counts), k * k)


def _ordinal_alpha(sums: Floats) -> Floats:
    k = round(sums.shape[-1] ** 0.5)
    seen = sums.reshape(*sums.shape[:-1], k, k)
    labels = seen.sum(-1)
    # The middle of each label in the order of all labels; distances are numbers of labels between.
    middle = labels.cumsum(-1) - labels / 2
    apart = (middle[..., :, None] - middle[..., None, :]) ** 2
    expected = (apart * labels[..., :, None] * labels[..., None, :]).sum((-2, -1))
    observed = (apart * seen).sum((-2, -1))
    return _ratio(observed, expected / np.maximum(labels.sum(-1) - 1, 1))


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
    return _ratio(observed, expected)


def _by_key(keys: Codes) -> list[Codes]:
    """Row numbers of each key."""
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(keys[order])) + 1) if len(keys) else []


Shared = dict[tuple[int, int], tuple[Codes, Codes, Codes]]


def _shared(items: Codes, people: Codes, given: Codes) -> Shared:
    """For every two people who share items: those items, and both people's labels of them."""
    same_length(items=items, people=people, given=given)
    own = {int(people[rows[0]]): rows[np.argsort(items[rows])] for rows in _by_key(people)}
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


def _estimated(
    name: str,
    statistic: Callable[[Floats], Floats],
    rows: Any,
    seed: Seed,
    *,
    interval: Interval = "bca",
) -> Coefficient:
    value = float(statistic(np.asarray(rows.sum(axis=0)).ravel()))
    if not np.isfinite(value):
        return Coefficient(name=name, n=rows.shape[0], why="no disagreement is possible by chance")
    try:
        found: Estimate = bootstrap_of_sums(statistic, rows, seed=seed, interval=interval)
    except DataError as error:
        reason = error.what if not error.got else f"{error.what} ({error.got})"
        return Coefficient(name=name, value=value, n=rows.shape[0], why=reason)
    return Coefficient(name=name, **found.model_dump())


def tables(items: Codes, given: Codes, n_items: int, labels: int) -> Floats:
    """[item, label] counts from one row per label; label -1 is none."""
    counts = np.zeros((n_items, labels))
    known = given >= 0
    np.add.at(counts, (items[known], given[known]), 1)
    return counts


__all__: Sequence[str] = [
    "Coefficient",
    "PairOfPeople",
    "cohen_kappa",
    "fleiss_kappa",
    "krippendorff_alpha",
    "mean_pairwise_kappa",
    "pairwise_kappas",
    "percent_agreement",
    "rank_agreement",
    "tables",
]
