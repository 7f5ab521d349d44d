"""A crowd's first answers beside those of the others to the same items."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairlead.feedback.quality.outliers.cases import LEAST, Codes, Floats, Tally
from fairlead.feedback.tables import LabelTable

CROWD = 5
"""Fewest people for comparisons with the rest of the crowd."""
CLEAR = 0.7
"""Share of the others' answers from which they are clear about an item."""


@dataclass(frozen=True)
class Agreement(Tally):
    """How often each person gives the reference label."""

    chance_rate: Floats
    """[person] the rate if both kept their shares of labels and nothing else."""

    @property
    def competence(self) -> Floats:
        """[person] agreement beyond chance: 1 always, 0 by chance, below 0 against it."""
        return (self.rate - self.chance_rate) / np.maximum(1 - self.chance_rate, 1e-9)


class Crowd:
    """First answers, and for each the answers of the others to the same item."""

    def __init__(self, table: LabelTable) -> None:
        self.table = table
        self.names = table.people.names
        self.items, self.people = table.items.codes, table.people.codes
        self.given = table.labels.codes
        self.counts = table.counts()
        own = np.eye(len(table.labels.names))[self.given]
        self.others = self.counts[self.items] - own
        """[row, label] answers of everybody else to the item."""
        self.reference = leading(self.others)
        """[row] label that most others gave; -1 where none leads."""
        led = self.reference >= 0
        self.is_clear = led & (self.others.max(axis=1) >= CLEAR * self.others.sum(axis=1))
        """[row] whether the others are clear: honest people err less there, chance does not."""
        self.majority, self.clear = self._agreement(led), self._agreement(self.is_clear)
        able = self.clear.n >= LEAST
        self.usual = float(np.median(self.clear.competence[able])) if able.any() else np.nan
        """The crowd's median agreement beyond chance, where the others are clear."""

    def tally(self, rows: NDArray[np.bool_], hit: NDArray[np.bool_]) -> Tally:
        """How often each person's answers among these rows are hits."""
        return Tally.of(self.people[rows], hit[rows], len(self.names))

    def too_small(self) -> str:
        """Why nobody can be compared with the rest; empty where it can be done."""
        if len(self.clear.tested()) < CROWD:
            return (
                f"needs {CROWD} people with {LEAST} answers each to items on which the others are "
                "clear"
            )
        return ""

    def _agreement(self, rows: NDArray[np.bool_]) -> Agreement:
        people, given, reference = self.people[rows], self.given[rows], self.reference[rows]
        tally = self.tally(rows, self.given == self.reference)
        own, expected = np.zeros((2, len(self.names), len(self.table.labels.names)))
        np.add.at(own, (people, given), 1)
        np.add.at(expected, (people, reference), 1)
        chance_rate = (own * expected).sum(axis=1) / np.maximum(tally.n, 1) ** 2
        return Agreement(tally.hits, tally.n, chance_rate)


def leading(counts: Floats) -> Codes:
    """[row] the label with most votes; -1 where none leads or nobody voted."""
    order = np.sort(counts, axis=1)
    second = order[:, -2] if counts.shape[1] > 1 else np.zeros(len(counts))
    return np.where(order[:, -1] > second, counts.argmax(axis=1), -1)
