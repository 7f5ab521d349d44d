import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.stats import best_of_n, best_of_n_kl_bound, expected_best_of_n, mean_estimate

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
