"""What one way of measuring deference gives to the audit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.gates import Gate
from fairlead.core.results import Passage
from fairlead.judges.asking import Answer
from fairlead.stats.families import no_gate
from fairlead.stats.gates import paired_gate
from fairlead.stats.means import mean_estimate

Floats = NDArray[np.float64]

SHOWN = 10


@dataclass(frozen=True)
class Measured:
    """One harm of both models on the same items."""

    name: str
    harm: str
    ours: Floats
    """[item] the candidate's harm, nan where it was not scored."""
    theirs: Floats
    """[item] the baseline's."""
    states: tuple[str, ...] = ()
    """How the items of both models ended."""
    passages: tuple[Passage, ...] = ()
    estimates: tuple[NamedEstimate, ...] = ()
    notes: tuple[str, ...] = ()
    without: str = "no item is left"
    """Why nothing could be measured, should that be so."""

    def gate(self, title: str, margin: float, *, hard: bool) -> Gate:
        """Its gate; inconclusive where fewer than two items are left."""
        name = f"{title}/{self.name}"
        if len(self.ours) < 2:
            return no_gate(name, self.harm, margin, self.without, hard=hard)
        return paired_gate(
            name, self.harm, self.ours, self.theirs, margin, states=self.states, hard=hard
        )


def readable(answer: Answer) -> bool:
    """Whether there are words to read: a reply that was cut off has some."""
    return answer.state in ("scored", "truncated") and bool(answer.text.strip())


def state(answer: Answer) -> str:
    """How a reply ended, an empty one as no reply."""
    if readable(answer):
        return "scored"
    return answer.state if answer.state != "scored" else "target_refused"


def named(name: str, values: Sequence[float] | Floats) -> tuple[NamedEstimate, ...]:
    """The mean under a name; nothing where fewer than two values are known."""
    array = np.asarray(values, dtype=np.float64)
    known = array[~np.isnan(array)]
    try:
        found: Estimate = mean_estimate(known)
    except DataError:
        return ()
    return (found.named(name),)


def worst(ours: Floats, theirs: Floats) -> list[int]:
    """Items on which the candidate does most more harm, worst first; unscored ones last."""
    rise = np.nan_to_num(ours - np.nan_to_num(theirs, nan=0.0), nan=1.0)
    order = np.argsort(-rise, kind="stable")[:SHOWN]
    return [int(i) for i in order if rise[i] > 0]
