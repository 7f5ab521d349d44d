"""Whether the place or the length of a reply decides, for the campaign and for each person."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.feedback.tables import LabelTable
from fairlead.stats.proportions import proportion
from fairlead.stats.significance import (
    POWER,
    benjamini_hochberg,
    binomial_test,
    share_seen,
    trials_to_see,
)

NOTABLE = 0.55
"""A share of choices that would matter; the power statement is about it."""


class PersonShare(BaseModel):
    """One person's share of choices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: str
    share: Estimate
    p: float
    """Exact two-sided p-value against one half."""
    adjusted: float
    """The same, Benjamini-Hochberg adjusted over all people."""


class Bias(BaseModel):
    """How often the choice fell on one side (the left, the longer), where it could have either."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    share: Estimate
    p: float
    """Exact two-sided p-value of the whole campaign against one half."""
    people: tuple[PersonShare, ...]
    needed: int
    """Choices at which a true share of 55 % would be found four times in five."""
    power: str
    """What this number of choices can and cannot show, in words."""


def position_bias(table: LabelTable) -> Bias | None:
    """How often the left reply was chosen, ties aside; None where the order is unknown."""
    return None if table.left is None else _bias(table, "left chosen", table.left)


def length_bias(table: LabelTable) -> Bias | None:
    """How often the longer reply was chosen, ties aside; None where lengths are unknown.

    A share above one half is a bias only as far as the longer reply is not the better one.
    """
    return None if table.longer is None else _bias(table, "longer chosen", table.longer)


def tie_rate(table: LabelTable) -> Estimate | None:
    """Share of ties among all answers; None where there is no tie label."""
    if table.tie_code < 0:
        return None
    return proportion(int((table.labels.codes == table.tie_code).sum()), len(table))


def order_flips(first: Sequence[str | None], second: Sequence[str | None]) -> Estimate:
    """How often a verdict changes when the two replies swap places.

    Args:
        first: [case] who won in one order, in the replies' own names; None for no verdict.
        second: [case] who won in the other order.

    Returns:
        The share among cases with a verdict in both orders.

    Raises:
        DataError: lengths differ, or no case has both verdicts.
    """
    if len(first) != len(second):
        raise DataError(
            "verdicts of both orders must pair up", got=f"{len(first)} and {len(second)}"
        )
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    return proportion(sum(a != b for a, b in both), len(both))


def _bias(table: LabelTable, name: str, side: NDArray[np.int64]) -> Bias | None:
    chosen, people = sides(table, side)
    if not len(chosen):
        return None
    size = len(table.people.names)
    n = np.bincount(people, minlength=size)
    hits = np.bincount(people, weights=chosen, minlength=size).astype(int)
    who = np.flatnonzero(n).tolist()
    p_values = [binomial_test(int(hits[i]), int(n[i])) for i in who]
    adjusted = benjamini_hochberg(p_values)
    return Bias(
        name=name,
        share=proportion(int(chosen.sum()), len(chosen)),
        p=binomial_test(int(chosen.sum()), len(chosen)),
        people=tuple(
            PersonShare(
                person=table.people.names[i],
                share=proportion(int(hits[i]), int(n[i])),
                p=p_values[k],
                adjusted=float(adjusted[k]),
            )
            for k, i in enumerate(who)
        ),
        needed=trials_to_see(NOTABLE),
        power=_power(len(chosen)),
    )


def sides(
    table: LabelTable, side: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each choice fell on the side, and whose it was; without ties and unknown sides."""
    counted = (side >= 0) & (table.labels.codes != table.tie_code)
    return table.labels.codes[counted] == side[counted], table.people.codes[counted]


def _power(n: int) -> str:
    needed = trials_to_see(NOTABLE)
    return (
        f"finding a true share of {NOTABLE:.0%} with {POWER:.0%} power takes {needed} choices; "
        f"these {n} find {share_seen(n):.1%} or more"
    )
