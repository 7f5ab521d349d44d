"""Gates side by side in units of their margins: where each interval lies from 0 to its margin."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.core.gates import Gate

LEAST, MOST = (-1.0, 2.0), (-3.0, 5.0)
"""What an axis shows at least and at most, in margins; what lies outside is cut, with an arrow."""


@dataclass(frozen=True)
class Axis:
    """The axis that all gates share, and the places of its two lines in per cent."""

    left: float
    right: float
    zero: float
    one: float


@dataclass(frozen=True)
class Mark:
    """Where a gate lies on the axis, in per cent."""

    low: float
    value: float | None
    """None where it lies beyond the axis."""
    high: float
    cut_low: bool
    cut_high: bool
    limit: float
    """Where it must end before: at its margin, which is at zero where the margin is zero."""


def axis(gates: Sequence[Gate]) -> Axis:
    """An axis on which these gates fit, within limits."""
    ends = [in_margins(gate) for gate in gates]
    numbers = [x for three in ends if three for x in three]
    left = math.floor(2 * max(MOST[0], min([LEAST[0], *numbers]))) / 2
    right = math.ceil(2 * min(MOST[1], max([LEAST[1], *numbers]))) / 2
    return Axis(left, right, _place(0, left, right), _place(1, left, right))


def mark(gate: Gate, on: Axis) -> Mark | None:
    """A gate on an axis; None where it has no interval."""
    three = in_margins(gate)
    if three is None:
        return None
    low, value, high = (_place(min(max(x, on.left), on.right), on.left, on.right) for x in three)
    limit = on.one if gate.margin > 0 else on.zero
    inside = on.left <= three[1] <= on.right
    return Mark(
        low, value if inside else None, high, three[0] < on.left, three[2] > on.right, limit
    )


def in_margins(gate: Gate) -> tuple[float, float, float] | None:
    """Lower end, value and upper end of the change over the margin.

    A margin of zero is no unit: such a gate has a scale of its own, on which its farther end is 1.

    Returns:
        None where the interval is not finite.
    """
    three = (gate.change.low, gate.change.value, gate.change.high)
    if not all(map(math.isfinite, three)):
        return None
    unit = gate.margin if gate.margin > 0 else max(abs(three[0]), abs(three[2])) or 1.0
    low, value, high = (x / unit for x in three)
    return low, value, high


def _place(x: float, left: float, right: float) -> float:
    return round(100 * (x - left) / (right - left), 2)
