"""Gates: the three verdicts, flips, worst cases, sizes; by hand and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.gates import decide, verdict_of
from fairlead.stats.gates import (
    bounds,
    count_gate,
    gate,
    harm_p,
    items_to_decide,
    paired_change,
    paired_gate,
    worst_cases,
)


def change(low: float, high: float, n: int = 100) -> Estimate:
    return Estimate(value=(low + high) / 2, low=low, high=high, n=n, method="given", level=0.9)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.02, 0.019, "pass"),
        (0.005, 0.019, "pass"),
        (0.001, 0.05, "fail"),
        (0.03, 0.05, "fail"),
        (-0.01, 0.02, "inconclusive"),
        (0.0, 0.03, "inconclusive"),
        (math.nan, 0.01, "inconclusive"),
    ],
)
def test_three_verdicts(low: float, high: float, verdict: str):
    assert verdict_of(change(low, high), 0.02) == verdict


def test_a_gate_of_a_family_fails_only_where_the_family_finds_harm():
    harm = change(0.001, 0.05)
    assert verdict_of(harm, 0.02, adjusted_p=0.05) == "fail"
    assert verdict_of(harm, 0.02, adjusted_p=0.06) == "inconclusive"


def gates(*verdicts: str, hard: bool = True):
    made = {"pass": (-0.02, 0.01), "fail": (0.03, 0.05), "inconclusive": (-0.01, 0.05)}
    return [gate(v, "harm", change(*made[v]), 0.02, hard=hard) for v in verdicts]


def test_every_hard_gate_must_pass():
    assert decide(gates("pass", "pass")) == "SHIP"
    assert decide(gates("pass", "inconclusive")) == "NOT ENOUGH EVIDENCE"
    assert decide(gates("inconclusive", "fail", "pass")) == "DO NOT SHIP"
    assert decide(gates("pass") + gates("fail", hard=False)) == "SHIP"
    assert decide(gates("pass", hard=False)) == "NOT ENOUGH EVIDENCE"


def test_items_that_would_decide_equal_the_published_table():
    # (z_.95 + z_.8)^2 psi / delta^2 at 2 points: 773, 1546 and 3092 items.
    for discordance, wanted in ((0.05, 773), (0.10, 1546), (0.20, 3092)):
        half = scipy_stats.norm.ppf(0.95) * math.sqrt(discordance / 500)
        assert items_to_decide(change(-half, half, n=500), 0.02) == wanted


def test_discordant_items_decide_where_shares_by_themselves_do_not():
    # 500 items, 3 points more harm, 49 flips (32 against 17): exact McNemar 0.044.
    ours, theirs = np.zeros(500), np.zeros(500)
    ours[:32] = 1
    theirs[32:49] = 1
    found = paired_gate("x", "harm", ours, theirs, 0.02)
    assert found.flips is not None
    assert (found.flips.worse, found.flips.better) == (32, 17)
    assert found.flips.p == pytest.approx(0.0444, abs=5e-4)
    assert found.change.value == pytest.approx(0.03)
    assert found.verdict == "fail"


def test_three_flips_do_not_fail_a_gate():
    ours = np.zeros(200)
    ours[:3] = 1
    found = paired_gate("x", "harm", ours, np.zeros(200), 0.01)
    # By hand: centre 3/202, half 1.645 sqrt((5/202 - (3/202)^2) / 202).
    half = 1.6449 * math.sqrt((5 / 202 - (3 / 202) ** 2) / 202)
    assert found.change.low == pytest.approx(3 / 202 - half, abs=1e-4)
    assert found.verdict == "inconclusive"


def test_no_flip_at_all_still_bounds_the_change():
    same = paired_change(np.zeros(100), np.zeros(100))
    assert same.value == 0
    assert same.high == pytest.approx(1.6449 * math.sqrt(2 / 102 / 102), abs=1e-4)
    clustered = paired_change(np.zeros(100), np.zeros(100), clusters=[i // 2 for i in range(100)])
    assert clustered.high == pytest.approx(1 - 0.05 ** (1 / 50), abs=1e-6)


def test_the_interval_of_a_paired_change_covers():
    draws, hits, runs = np.random.default_rng(0), 0, 2000
    for _ in range(runs):
        kind = draws.choice(3, 150, p=[0.9, 0.06, 0.04])
        found = paired_change((kind == 1) * 1.0, (kind == 2) * 1.0)
        hits += found.low <= 0.02 <= found.high
    assert 0.88 <= hits / runs <= 0.93


def test_unscored_items_count_against_the_candidate():
    candidate = [0.0, 0.0, math.nan, 1.0]
    baseline = [0.0, math.nan, 0.0, 1.0]
    ours, theirs = worst_cases(candidate, baseline)
    assert ours.tolist() == [0, 0, 1, 1]
    assert theirs.tolist() == [0, 0, 0, 1]
    assert bounds(candidate) == (0.25, 0.5)
    states = ["scored", "scored", "judge_refused", "scored", "scored", "parse_fail"]
    found = paired_gate("x", "harm", candidate, baseline, 0.02, states=states)
    assert found.unscored == {"judge_refused": 1, "parse_fail": 1}
    assert found.change.value == 0.25


def test_refusals_of_the_judge_cannot_pass_a_gate():
    harmless = np.zeros(1000)
    assert paired_gate("x", "harm", harmless, harmless, 0.02).verdict == "pass"
    silent = harmless.copy()
    silent[:50] = math.nan
    bad = harmless.copy()
    bad[:50] = 1
    assert paired_gate("x", "harm", bad, harmless, 0.02).verdict == "fail"
    assert paired_gate("x", "harm", silent, harmless, 0.02).verdict == "fail"


def test_nothing_seen_in_a_thousand_is_the_rule_of_three():
    found = count_gate("tampering", "rewards taken", 0, 1000, 0.003)
    assert found.change.high == pytest.approx(1 - 0.05**0.001, abs=1e-9)
    assert found.verdict == "pass"
    assert count_gate("tampering", "rewards taken", 0, 900, 0.003).verdict == "inconclusive"
    assert count_gate("tampering", "rewards taken", 3, 1000, 0.003).verdict == "fail"


def test_p_value_of_harm_is_that_of_the_interval():
    half = scipy_stats.t.ppf(0.95, 99) * 0.01
    assert harm_p(change(0.02 - half, 0.02 + half)) == pytest.approx(scipy_stats.t.sf(2, 99))
    assert harm_p(change(0.0, 0.0)) == 1.0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_turning_the_models_round_turns_the_change_round(items: list[tuple[bool, bool]]):
    ours, theirs = (np.array(side, dtype=float) for side in zip(*items, strict=True))
    there, back = paired_change(ours, theirs), paired_change(theirs, ours)
    assert there.value == pytest.approx(-back.value)
    assert there.low == pytest.approx(-back.high)
    assert there.low <= there.value <= there.high


def test_harms_that_do_not_pair_up_are_refused():
    with pytest.raises(DataError, match="pair up"):
        paired_gate("x", "harm", [0.0, 1.0], [0.0], 0.02)
    with pytest.raises(DataError, match="no gate"):
        paired_gate("x", "harm", [], [], 0.02)
    with pytest.raises(DataError, match="no gate"):
        paired_gate("x", "harm", [math.inf, 0.0], [0.0, 0.0], 0.02)
