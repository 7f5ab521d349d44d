import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.estimates import Estimate
from fairlead.core.metrics import Mean, merge


@given(parts=st.lists(st.lists(st.floats(-5, 5), max_size=4), min_size=1, max_size=5))
def test_merged_means_are_the_mean_of_the_whole(parts: list[list[float]]) -> None:
    whole = [x for part in parts for x in part]
    merged = merge({"a": Mean(sum(part), len(part))} for part in parts)["a"]
    if whole:
        assert merged.value == pytest.approx(sum(whole) / len(whole), abs=1e-12)
    else:
        assert math.isnan(merged.value)


def test_parts_may_have_different_names() -> None:
    merged = merge([{"a": Mean(1.0, 2)}, {"b": Mean(4.0, 1)}, {"a": Mean(5.0, 1)}])
    assert {name: mean.value for name, mean in merged.items()} == {"a": 2.0, "b": 4.0}


def test_tensors_are_added_without_being_read() -> None:
    added = Mean(torch.tensor(3.0), torch.tensor(2)) + Mean(torch.tensor(1.0), torch.tensor(2))
    assert isinstance(added.total, torch.Tensor) and added.value == 1.0


def test_an_estimate_prints_its_interval() -> None:
    estimate = Estimate(value=0.5, low=0.4124, high=0.6, n=30, method="bootstrap")
    assert str(estimate) == "0.500 [0.412, 0.600] (n=30)"
