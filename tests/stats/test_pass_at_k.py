from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.stats.pass_at_k import pass_at_k


def test_reference_values(reference_value):
    inputs, outputs = reference_value("rl.pass_at_k")
    # The published numbers are rounded to ten places.
    for correct, value in zip(
        inputs["correct"].tolist(), outputs["pass_at_k"].tolist(), strict=True
    ):
        found = pass_at_k(inputs["n"], int(correct), inputs["k"])
        assert found == pytest.approx(value, abs=1e-10)


@given(st.integers(1, 8), st.data())
def test_equals_all_subsets(n, data):
    correct, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(combinations([True] * correct + [False] * (n - correct), k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_small_chances_of_many_samples_stay_exact():
    assert pass_at_k(100_000, 1, 100) == pytest.approx(1e-3, rel=1e-12)


@pytest.mark.parametrize(("n", "correct", "k"), [(4, 1, 5), (4, 5, 1), (4, -1, 1), (4, 1, 0)])
def test_impossible_counts_are_refused(n, correct, k):
    with pytest.raises(DataError, match="at least k samples"):
        pass_at_k(n, correct, k)
