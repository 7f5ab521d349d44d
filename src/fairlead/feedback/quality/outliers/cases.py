"""Suspicions, and the counts that they are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fairlead.core.estimates import Estimate
from fairlead.stats.proportions import proportion
from fairlead.stats.significance import Side, binomial_test

LEAST = 20
"""Fewest answers (or shared items, or choices) that are judged at all."""

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class Case(BaseModel):
    """A suspicion before it is known how many were tested."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: int
    p: float
    share: Estimate
    threshold: float
    notable: bool
    """Whether the effect is large enough to matter, whatever its p-value."""
    reason: str
    weight: float
    other: str = ""


Cases = list[Case] | str
"""Everyone who was tested for one kind, or why nobody was."""


@dataclass(frozen=True)
class Tally:
    """How often each person did something, of the times they could have."""

    hits: Codes
    n: Codes

    @staticmethod
    def of(people: Codes, hit: NDArray[np.bool_], size: int) -> "Tally":
        """Counts by person.

        Args:
            people: [time] who.
            hit: [time] whether they did it.
            size: how many people there are.
        """
        n = np.bincount(people, minlength=size)
        return Tally(hits=np.bincount(people[hit], minlength=size), n=n)

    @property
    def rate(self) -> Floats:
        """[person] share of hits; 0 for who had no chance."""
        return self.hits / np.maximum(self.n, 1)

    def tested(self, least: int = LEAST) -> list[int]:
        """Who can be judged."""
        return np.flatnonzero(self.n >= least).tolist()

    def share(self, person: int) -> Estimate:
        """A person's rate with Wilson's interval."""
        return proportion(int(self.hits[person]), int(self.n[person]))

    def told(self, person: int) -> str:
        """The same in words."""
        return f"{percent(self.share(person))} of {self.n[person]}"

    def chance(self, person: int, limit: float, side: Side) -> float:
        """Chance of so many hits or more ("greater") or fewer ("less"), each of chance `limit`."""
        return binomial_test(int(self.hits[person]), int(self.n[person]), limit, side=side)


def beyond(
    tally: Tally,
    person: int,
    limit: float,
    side: Side,
    *,
    reason: str,
    notable: bool,
    weight: float,
    threshold: float | None = None,
    sides: int = 1,
) -> Case:
    """The suspicion that somebody does a thing more (or less) often than is human.

    Args:
        tally: how often everybody does it.
        person: about whom.
        limit: how often honest people may do it.
        side: "greater" for more often than that, "less" for less often.
        reason: what was seen and what would be normal, in words.
        notable: whether it matters, whatever its p-value.
        weight: suggested weight of the person's answers.
        threshold: what the report names as the threshold; the limit unless given.
        sides: 2 where the side was chosen after a look at the data.
    """
    return Case(
        person=person,
        p=min(1.0, sides * tally.chance(person, limit, side)),
        share=tally.share(person),
        threshold=limit if threshold is None else threshold,
        notable=notable,
        reason=reason,
        weight=weight,
    )


def percent(estimate: Estimate) -> str:
    """A share with its interval, in words."""
    return f"{estimate.value:.0%} [{estimate.low:.0%}, {estimate.high:.0%}]"
