"""Hidden gold and repeated items: how often people are right, and agree with themselves."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fairlead.core.estimates import Estimate
from fairlead.feedback.tables import LabelTable
from fairlead.stats.proportions import beta_posterior, clustered_proportion, proportion


class GoldReport(BaseModel):
    """Accuracy against gold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: int
    """Items with gold that somebody labelled."""
    accuracy: Estimate
    """Of all answers to them, with items as clusters."""
    people: dict[str, Estimate]
    """Posterior of each person's accuracy. Act on its bounds, never on the mean: a few answers say
    little."""


def gold_report(table: LabelTable, *, prior: tuple[float, float] = (1.0, 1.0)) -> GoldReport | None:
    """Accuracy of first answers on items with gold; None where there is none.

    Args:
        table: who said what.
        prior: Beta counts of right and wrong answers believed in beforehand.
    """
    rows, right = graded(table)
    if not len(rows):
        return None
    people, items = table.people.codes[rows], table.items.codes[rows]
    n = np.bincount(people, minlength=len(table.people.names))
    hits = np.bincount(people, weights=right, minlength=len(table.people.names))
    return GoldReport(
        items=len(np.unique(items)),
        accuracy=clustered_proportion(right, items),
        people={
            table.people.names[p]: beta_posterior(float(hits[p]), float(n[p]), prior=prior)
            for p in np.flatnonzero(n).tolist()
        },
    )


def graded(table: LabelTable) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of first answers to items with gold, and whether each answer is accepted."""
    if table.accepted is None:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)
    first = np.ones(len(table), bool) if table.repeated is None else ~table.repeated
    has_gold = table.accepted.sum(axis=1) > 0
    rows = np.flatnonzero(first & has_gold[table.items.codes])
    return rows, table.accepted[table.items.codes[rows], table.labels.codes[rows]]


def own_consistency(table: LabelTable, person: str | None = None) -> Estimate | None:
    """How often a repeated item gets the person's first answer again, with Wilson's interval.

    Args:
        table: who said what.
        person: one person, or None for all.

    Returns:
        None where nobody (or not this person) was asked twice.
    """
    if table.repeated is None or not table.repeated.any():
        return None
    keys = table.items.codes * len(table.people.names) + table.people.codes
    first = {
        int(keys[row]): int(table.labels.codes[row]) for row in np.flatnonzero(~table.repeated)
    }
    again = np.flatnonzero(table.repeated)
    if person is not None:
        again = again[table.people.codes[again] == table.people.code(person)]
    if not len(again):
        return None
    same = [first[int(keys[row])] == int(table.labels.codes[row]) for row in again]
    return proportion(sum(same), len(same))
