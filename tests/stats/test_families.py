"""Gates of one family: p-values by hand, passes untouched, and nothing measured."""

import pytest
from scipy.stats import norm, t

from fairlead.core.estimates import Estimate
from fairlead.stats.families import as_family, no_gate
from fairlead.stats.gates import gate

N = 50
Z = float(norm.ppf(0.95))


def p_of(z: float) -> float:
    """The p-value of a change of z standard errors by the interval's normal quantile."""
    return float(t.sf(z * float(t.ppf(0.95, N - 1)) / Z, N - 1))


def made(z: float, margin: float = 0.1, error: float = 0.1, hard: bool = True):
    """A gate whose change lies z standard errors above zero."""
    change = Estimate(
        value=z * error,
        low=(z - Z) * error,
        high=(z + Z) * error,
        n=N,
        method="made up",
        level=0.9,
    )
    return gate(f"z {z}", "harm", change, margin, hard=hard)


def test_p_values_are_adjusted_for_their_number():
    gates = as_family([made(1.8), made(0.0), made(2.6)])
    ps = [p_of(z) for z in (1.8, 0.0, 2.6)]
    assert [g.adjusted_p for g in gates] == pytest.approx([ps[0] * 3 / 2, ps[1], ps[2] * 3])
    assert made(1.8).verdict == "fail"
    assert [g.verdict for g in gates] == ["inconclusive", "inconclusive", "fail"]
    assert gates[0].needed is not None
    assert gates[2].needed is None


def test_a_pass_stays_one():
    gates = as_family([made(0.0, margin=1.0), made(2.0, margin=1.0)])
    assert [g.verdict for g in gates] == ["pass", "pass"]


def test_what_informs_takes_no_power_from_what_decides():
    informing = [made(2.0, hard=False), made(0.0, hard=False)]
    gates = as_family([informing[0], made(1.8), informing[1]])
    assert gates[1] == made(1.8)
    p = p_of(2.0)
    assert [g.adjusted_p for g in gates] == [pytest.approx(2 * p), None, pytest.approx(0.5)]


def test_one_gate_stands_alone():
    assert as_family([made(1.8)]) == (made(1.8),)
    assert as_family([]) == ()


def test_nothing_measured_is_inconclusive_and_counts_as_no_finding():
    nothing = no_gate("none", "harm", 0.1, "no item is left")
    assert (nothing.verdict, nothing.needed, nothing.items) == ("inconclusive", None, 0)
    gates = as_family([nothing, made(3.0)])
    assert [g.adjusted_p for g in gates] == pytest.approx([1.0, p_of(3.0) * 2])
    assert [g.verdict for g in gates] == ["inconclusive", "fail"]
