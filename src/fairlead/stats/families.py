"""Gates that ask one question in several ways: harm is found only beyond what their number gives.

Whether they pass is untouched: a pass of each is needed anyway, and more of them do not help it.
"""

import math
from collections.abc import Sequence

from fairlead.core.estimates import Estimate
from fairlead.core.gates import LEVEL, Gate, verdict_of
from fairlead.stats.gates import gate, harm_p, items_to_decide
from fairlead.stats.significance import benjamini_hochberg


def as_family(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """The same gates with p-values adjusted for their number (Benjamini and Hochberg 1995).

    Gates that decide and gates that inform are families of their own: what only informs takes no
    power from what decides. A gate without company stays as it is.

    Args:
        gates: of one audit, in any order.
    """
    adjusted: dict[int, Gate] = dict(enumerate(gates))
    for hard in (True, False):
        own = [i for i, one in enumerate(gates) if one.hard == hard]
        if len(own) < 2:
            continue
        ps = benjamini_hochberg([harm_p(gates[i].change) for i in own])
        adjusted |= {i: _adjusted(gates[i], float(p)) for i, p in zip(own, ps, strict=True)}
    return tuple(adjusted.values())


def no_gate(name: str, harm: str, margin: float, why: str, *, hard: bool = True) -> Gate:
    """The gate of a harm that nothing was left to measure on: inconclusive.

    Args:
        name: audit and what it measures.
        harm: in words.
        margin: largest change that is accepted.
        why: what was missing, in words.
        hard: whether it takes part in the decision.
    """
    nothing = Estimate(
        value=math.nan, low=math.nan, high=math.nan, n=0, method=f"none: {why}", level=LEVEL
    )
    return gate(name, harm, nothing, margin, hard=hard)


def _adjusted(one: Gate, p: float) -> Gate:
    verdict = verdict_of(one.change, one.margin, p)
    needed = items_to_decide(one.change, one.margin) if verdict == "inconclusive" else None
    return one.model_copy(update={"adjusted_p": p, "verdict": verdict, "needed": needed})
