import json
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.stats import best_of_n, best_of_n_kl_bound, expected_best_of_n, mean_estimate
from fairlead.stats.best_of_n import (
    affordable_n,
    best_of_n_kl,
    best_of_n_kl_estimate,
    expected_at,
)

REFERENCE = Path(__file__).parents[2] / "../shared/reference/reference_values.json"


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference values are not here")
def test_reference_values():
    case = json.loads(REFERENCE.read_text())["dec.bon"]
    for n, bound in case["outputs"]["kl_upper_bound"].items():
        assert best_of_n_kl_bound(int(n)) == pytest.approx(bound, rel=1e-9)
    proxy, gold = case["inputs"]["proxy"], case["inputs"]["gold"]
    for n, value in case["outputs"]["expected_gold"].items():
        assert expected_best_of_n(proxy, gold, int(n)) == pytest.approx(value, rel=1e-9)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.floats(-5, 5)),
        min_size=1,
        max_size=7,
        unique_by=lambda s: s[0],
    ),
    st.data(),
)
def test_equals_all_subsets(samples, data):
    n = data.draw(st.integers(1, len(samples)))
    best = [max(subset)[1] for subset in combinations(samples, n)]
    proxy, gold = zip(*samples, strict=True)
    assert expected_best_of_n(proxy, gold, n) == pytest.approx(np.mean(best), abs=1e-9)


def test_ties_share_their_places():
    # Best of 2 from three: the pair without the low one ties (mean 3), the others pick 2 or 4.
    assert expected_best_of_n([0, 1, 1], [0, 2, 4], 2) == pytest.approx(3.0)


def test_large_counts_stay_finite():
    gold = np.arange(5000.0)
    # Of n from N places 0..N-1 the greatest is expected at n (N + 1) / (n + 1) - 1.
    assert expected_best_of_n(gold, gold, 1000) == pytest.approx(1000 * 5001 / 1001 - 1, rel=1e-6)


def test_interval_is_over_prompts():
    rng = np.random.default_rng(5)
    proxy, gold = rng.normal(size=(2, 6, 8))
    found = best_of_n(proxy, gold, 4)
    each = [expected_best_of_n(p, g, 4) for p, g in zip(proxy, gold, strict=True)]
    assert (found.value, found.low, found.n) == (np.mean(each), mean_estimate(each).low, 6)
    assert found.method == "order statistics, best of 4 from 8 samples; mean, t interval"
    assert best_of_n(gold, gold, 8).value == pytest.approx(gold.max(axis=1).mean())


@pytest.mark.parametrize("n", [0, 4])
def test_n_outside_the_samples_is_refused(n):
    with pytest.raises(DataError, match="best-of-n needs"):
        expected_best_of_n([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], n)


def test_shapes_must_agree():
    with pytest.raises(DataError, match="one shape"):
        best_of_n(np.ones((2, 3)), np.ones((2, 4)), 1)
    with pytest.raises(DataError, match="one unit"):
        best_of_n(np.ones((1, 3)), np.ones((1, 3)), 1)


@pytest.mark.parametrize("scores", [[3.0, 1.0, 2.0, 0.0], [1.0, 1.0, 2.0, 0.0], [5.0] * 4])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_exact_kl_equals_all_draws(scores, n):
    chances = np.array([0.1, 0.2, 0.3, 0.4])
    picked = np.zeros(4)
    for draw in product(range(4), repeat=n):
        best = max(scores[i] for i in draw)
        equal = [i for i in draw if scores[i] == best]
        for i in equal:  # one of the equals at random
            picked[i] += np.prod(chances[list(draw)]) / len(equal)
    assert picked.sum() == pytest.approx(1)
    kl = sum(q * np.log(q / p) for q, p in zip(picked, chances, strict=True) if q)
    assert best_of_n_kl(chances, scores, n) == pytest.approx(kl, abs=1e-12)
    assert best_of_n_kl(chances, scores, n) <= best_of_n_kl_bound(n) + 1e-12


@pytest.mark.parametrize("n", [2, 8])
@pytest.mark.parametrize("top", [0.02, 0.3, 0.9])
def test_the_kl_estimate_is_exact_for_one_outcome_above_a_continuum(top, n):
    others = 100_000
    chances = np.append(np.full(others, (1 - top) / others), top)
    exact = best_of_n_kl(chances, np.arange(others + 1.0), n)
    assert best_of_n_kl_estimate(float(np.log(top)), n) == pytest.approx(exact, abs=2e-4)


def test_the_kl_estimate_lies_between_nothing_and_the_bound():
    assert best_of_n_kl_estimate(0.0, 8) == 0
    assert best_of_n_kl_estimate(-80.0, 8) == pytest.approx(best_of_n_kl_bound(8))
    assert best_of_n_kl_estimate(-2000.0, 8) == pytest.approx(best_of_n_kl_bound(8))
    assert best_of_n_kl_estimate(-1.0, 1) == pytest.approx(0, abs=1e-12)
    falling = [best_of_n_kl_estimate(logp, 8) for logp in (-9.0, -3.0, -1.0, -0.1)]
    assert falling == sorted(falling, reverse=True)


def test_what_is_no_distribution_is_refused():
    with pytest.raises(DataError, match="add up to 1"):
        best_of_n_kl([0.5, 0.4], [1.0, 2.0], 2)


def test_a_budget_pays_for_samples_and_their_parts():
    n = affordable_n(130, fixed=10, each=48)
    assert n == 2.5
    proxy, gold = [1.0, 2.0, 3.0], [6.0, 0.0, 3.0]
    two, three = (expected_best_of_n(proxy, gold, k) for k in (2, 3))
    assert expected_at(proxy, gold, n) == pytest.approx((two + three) / 2)
    assert expected_at(proxy, gold, 3.0) == three
    # Half the time two samples, half the time three: 130 tokens on average.
    assert (10 + 2 * 48 + 10 + 3 * 48) / 2 == 130
    assert affordable_n(20, fixed=10, each=48) == 1
