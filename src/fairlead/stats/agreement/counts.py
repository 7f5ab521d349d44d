"""Agreement of any number of people, from how many of them gave each label to each item."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairlead.core.errors import DataError
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
from fairlead.stats.arrays import Clusters, codes, same_length

Level = Literal["nominal", "ordinal", "interval"]
NO_PAIRS = "no item has labels by two people"


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
    return estimated("percent", lambda s: s[..., 0] / s[..., 1], rows, seed)


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
    return estimated("fleiss_kappa", kappa, rows, seed)


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
        return estimated(name, _nominal_alpha, table.summed(_nominal_rows(table.counts)), seed)
    if level == "interval":
        numbers = np.asarray(values if values is not None else [], dtype=np.float64)
        same_length(labels=table.counts[0], values=numbers)
        return estimated(
            name, _interval_alpha, table.summed(_interval_rows(table.counts, numbers)), seed
        )
    if table.counts.shape[1] > MOST_LEVELS:
        return Coefficient(name=name, why=f"more than {MOST_LEVELS} different labels")
    return estimated(name, _ordinal_alpha, table.summed(_coincidences(table.counts)), seed)


def tables(items: Codes, given: Codes, n_items: int, labels: int) -> Floats:
    """[item, label] counts from one row per label; label -1 is none."""
    counts = np.zeros((n_items, labels))
    known = given >= 0
    np.add.at(counts, (items[known], given[known]), 1)
    return counts


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
        return one_label(int(used.sum())) if np.count_nonzero(used) == 1 else ""

    def summed(self, rows: Floats) -> Floats:
        """[cluster, d] from [item, d]."""
        _, numbers = np.unique(self._clusters, return_inverse=True)
        sums = np.zeros((int(numbers.max()) + 1, rows.shape[1]))
        np.add.at(sums, numbers, rows)
        return sums


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


def _nominal_rows(counts: Floats) -> Floats:
    n = counts.sum(axis=1, keepdims=True)
    observed = (counts * (n - counts)).sum(axis=1, keepdims=True) / (n - 1)
    return np.concatenate([observed, counts], axis=1)


def _nominal_alpha(sums: Floats) -> Floats:
    observed, labels = sums[..., 0], sums[..., 1:]
    n = labels.sum(-1)
    expected = (n**2 - (labels**2).sum(-1)) / np.maximum(n - 1, 1)
    return ratio(observed, expected)


def _interval_rows(counts: Floats, values: Floats) -> Floats:
    centred = values - np.average(values, weights=counts.sum(axis=0))
    centred = centred / (np.abs(centred).max() or 1.0)
    n, first, second = counts.sum(axis=1), counts @ centred, counts @ centred**2
    observed = (2 * n * second - 2 * first**2) / (n - 1)
    return np.stack([observed, n, first, second], axis=1)


def _interval_alpha(sums: Floats) -> Floats:
    observed, n, first, second = np.moveaxis(sums, -1, 0)
    return ratio(observed, (2 * n * second - 2 * first**2) / np.maximum(n - 1, 1))


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
    return ratio(observed, expected / np.maximum(labels.sum(-1) - 1, 1))
