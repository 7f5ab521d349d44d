"""Whose preferences are these: what each group of people said, and where groups differ."""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import stats

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.feedback.quality.aggregation import Aggregated, majority
from fairlead.feedback.tables import LabelTable
from fairlead.stats.agreement import Coefficient, krippendorff_alpha
from fairlead.stats.means import paired_difference
from fairlead.stats.proportions import difference_of_proportions, proportion
from fairlead.stats.significance import benjamini_hochberg

SHUFFLES = 999
"""Random regroupings of the people, for the test whether groups differ at all."""
FALSE_SHARE = 0.05
"""Expected share of false ones among the items that are said to divide two groups."""

Floats = NDArray[np.float64]


class Group(BaseModel):
    """One group's people and how far they agree among themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    people: int
    answers: int
    alpha: Coefficient


class LabelShift(BaseModel):
    """How much more often one group gives a label than another does, on the same items."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    first: str
    second: str
    difference: Estimate
    """Share in the first group minus the second's; a paired interval over items."""


class DividedItem(BaseModel):
    """An item on which two groups differ."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item: str
    first: str
    second: str
    label: str
    """The label that divides them most."""
    difference: Estimate
    """Its share in the first group minus the second's, with Newcombe's interval."""
    p: float
    """Fisher's exact test."""
    adjusted: float
    """The same, Benjamini-Hochberg adjusted over all items and pairs of groups."""


class GroupReport(BaseModel):
    """Where groups of annotators disagree."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    groups: tuple[Group, ...]
    without_group: int
    """People whose group is unknown; they count in no group."""
    distance: float
    """Mean over shared items and pairs of groups of the total variation between their votes."""
    by_chance: float
    """The same where people are regrouped at random."""
    p: float
    """Share of random groupings at least as far apart."""
    shifts: tuple[LabelShift, ...]
    divided: tuple[DividedItem, ...]
    """Items with an adjusted p of at most 0.05, the clearest first."""
    tested: int
    """Items times pairs of groups with two answers on both sides."""


def by_group(table: LabelTable) -> dict[str, Aggregated]:
    """Each group's own soft labels of all items, so that a majority does not speak for all.

    Raises:
        DataError: no groups are known.
    """
    groups = _groups(table)
    first = table.first_answers()
    own = groups[first.people.codes]
    names = table.groups.names if table.groups else ()
    return {name: majority(first.rows(own == g)) for g, name in enumerate(names)}


def group_differences(table: LabelTable, *, seed: Seed) -> GroupReport:
    """Compares groups on the items that they share.

    Whether they differ at all is a permutation test over people (people, not answers, are what was
    drawn). Which labels and which items divide them comes with intervals.

    Args:
        table: who said what, with groups.
        seed: of the regroupings and bootstraps.

    Raises:
        DataError: fewer than two groups with answers.
    """
    groups = _groups(table)
    first = table.first_answers()
    names = table.groups.names if table.groups else ()
    counts = _counts(first, groups, len(names))
    if (counts.sum(axis=(1, 2)) > 0).sum() < 2:
        raise DataError(
            "one group cannot differ from itself",
            expected="answers by at least two groups",
            got=", ".join(names) or "no group",
        )
    distance = _distance(counts)
    generator = seed.child("groups").numpy()
    known = np.flatnonzero(groups >= 0)
    shuffled = np.empty(SHUFFLES)
    for i in range(SHUFFLES):
        mixed = groups.copy()
        mixed[known] = generator.permutation(groups[known])
        shuffled[i] = _distance(_counts(first, mixed, len(names)))
    divided, tested = _divided(first, counts, names)
    return GroupReport(
        groups=tuple(
            Group(
                name=name,
                people=int((groups == g).sum()),
                answers=int(counts[g].sum()),
                alpha=krippendorff_alpha(counts[g], seed=seed.child("alpha", name)),
            )
            for g, name in enumerate(names)
        ),
        without_group=int((groups < 0).sum()),
        distance=distance,
        by_chance=float(shuffled.mean()),
        p=float((1 + (shuffled >= distance - 1e-12).sum()) / (1 + SHUFFLES)),
        shifts=tuple(_shifts(first, counts, names)),
        divided=divided,
        tested=tested,
    )


def _groups(table: LabelTable) -> NDArray[np.int64]:
    if table.groups is None or not (table.groups.codes >= 0).any():
        raise DataError(
            "no groups of annotators are known",
            remedy="give the annotators' group as a column of its own",
        )
    return table.groups.codes


def _counts(first: LabelTable, groups: NDArray[np.int64], n_groups: int) -> Floats:
    """[group, item, label] answers."""
    shape = (n_groups, len(first.items.names), len(first.labels.names))
    own = groups[first.people.codes]
    cells = (own * shape[1] + first.items.codes) * shape[2] + first.labels.codes
    return np.bincount(cells[own >= 0], minlength=int(np.prod(shape))).reshape(shape).astype(float)


def _shared(counts: Floats, a: int, b: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Both groups' shares of labels on the items that both answered, and those items."""
    n = counts.sum(axis=2)
    both = np.flatnonzero((n[a] > 0) & (n[b] > 0))
    return counts[a, both] / n[a, both, None], counts[b, both] / n[b, both, None], both


def _distance(counts: Floats) -> float:
    apart: list[Floats] = []
    for a, b in combinations(range(len(counts)), 2):
        x, y, _ = _shared(counts, a, b)
        apart.append(np.abs(x - y).sum(axis=1) / 2)
    every = np.concatenate(apart)
    return float(every.mean()) if len(every) else 0.0


def _shifts(first: LabelTable, counts: Floats, names: tuple[str, ...]) -> list[LabelShift]:
    found: list[LabelShift] = []
    for a, b in combinations(range(len(names)), 2):
        x, y, both = _shared(counts, a, b)
        if len(both) < 2:
            continue
        for k, label in enumerate(first.labels.names):
            difference = paired_difference(x[:, k], y[:, k])
            found.append(
                LabelShift(label=label, first=names[a], second=names[b], difference=difference)
            )
    return found


def _divided(
    first: LabelTable, counts: Floats, names: tuple[str, ...]
) -> tuple[tuple[DividedItem, ...], int]:
    cases: list[tuple[int, int, int, int]] = []
    p_values: list[float] = []
    for a, b in combinations(range(len(names)), 2):
        x, y, both = _shared(counts, a, b)
        for i, label in zip(both, np.abs(x - y).argmax(axis=1), strict=True):
            n_a, n_b = counts[a, i].sum(), counts[b, i].sum()
            if min(n_a, n_b) < 2:
                continue
            k_a, k_b = counts[a, i, label], counts[b, i, label]
            # The label was chosen as the most dividing one; the test pays for all that could be.
            exact: Any = stats.fisher_exact([[k_a, n_a - k_a], [k_b, n_b - k_b]])
            used = np.count_nonzero(counts[a, i] + counts[b, i])
            p_values.append(min(1.0, float(exact.pvalue) * max(used - 1, 1)))
            cases.append((a, b, int(i), int(label)))
    adjusted = benjamini_hochberg(p_values)
    found = [
        DividedItem(
            item=first.items.names[i],
            first=names[a],
            second=names[b],
            label=first.labels.names[label],
            difference=difference_of_proportions(
                _share(counts[a, i], label), _share(counts[b, i], label)
            ),
            p=p,
            adjusted=float(q),
        )
        for (a, b, i, label), p, q in zip(cases, p_values, adjusted, strict=True)
        if q <= FALSE_SHARE
    ]
    return tuple(sorted(found, key=lambda d: (d.p, d.item))), len(cases)


def _share(votes: Floats, label: int) -> Estimate:
    return proportion(int(votes[label]), int(votes.sum()))
