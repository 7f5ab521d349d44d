"""Pooling by inverse variance."""

import pytest

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.stats.pooling import pooled


def _of(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, n=10, method="", level=0.9)


def test_weights_by_inverse_variance():
    found = pooled([_of(0.1, 0.1), _of(0.4, 0.2)], level=0.9)
    # Weights 1/0.01 and 1/0.04, as 4 to 1; the half width is that of the summed weights.
    assert found.value == pytest.approx((4 * 0.1 + 0.4) / 5)
    assert found.high - found.value == pytest.approx((1 / (1 / 0.01 + 1 / 0.04)) ** 0.5)
    assert found.n == 20


def test_no_width_no_weight():
    with pytest.raises(DataError, match="cannot be pooled"):
        pooled([_of(0.1, 0.0), _of(0.2, 0.1)], level=0.9)
    with pytest.raises(DataError, match="cannot be pooled"):
        pooled([], level=0.9)
