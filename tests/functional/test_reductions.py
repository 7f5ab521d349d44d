import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairlead.functional.reductions import masked_mean, segment_sum, whiten

numbers = st.lists(st.tuples(st.floats(-10, 10), st.booleans()), min_size=1, max_size=20)


def split(pairs: list[tuple[float, bool]]) -> tuple[Tensor, Tensor]:
    return torch.tensor([x for x, _ in pairs], dtype=torch.float64), torch.tensor(
        [m for _, m in pairs]
    )


@given(pairs=numbers)
def test_masked_mean_is_that_of_the_entries_that_count(pairs: list[tuple[float, bool]]) -> None:
    counted = [x for x, counts in pairs if counts]
    mean = masked_mean(*split(pairs)).item()
    if counted:
        assert mean == pytest.approx(np.mean(counted), rel=1e-9, abs=1e-12)
    else:
        assert math.isnan(mean)


def test_masked_entries_may_be_nan() -> None:
    x, mask = torch.tensor([1.0, math.nan, 3.0]), torch.tensor([True, False, True])
    x.requires_grad_()
    mean = masked_mean(x, mask)
    mean.backward()
    assert mean.item() == 2.0
    assert x.grad is not None and x.grad.tolist() == [0.5, 0.0, 0.5]


@given(pairs=numbers, unbiased=st.booleans(), shift=st.booleans())
def test_whitening_agrees_with_numpy(
    pairs: list[tuple[float, bool]], unbiased: bool, shift: bool
) -> None:
    counted = np.array([x for x, counts in pairs if counts])
    if len(counted) < 2:
        return
    white = whiten(*split(pairs), shift_mean=shift, unbiased=unbiased)
    expected = (counted - counted.mean()) / np.sqrt(counted.var(ddof=int(unbiased)) + 1e-8)
    expected += 0.0 if shift else counted.mean()
    mask = split(pairs)[1]
    np.testing.assert_allclose(white[mask].numpy(), expected, rtol=1e-8, atol=1e-8)
    assert white[~mask].count_nonzero() == 0


def test_one_entry_whitens_to_zero() -> None:
    assert whiten(torch.tensor([5.0]), torch.tensor([True])).tolist() == [0.0]


def test_whitening_over_ranks_is_that_of_the_whole() -> None:
    whole = torch.tensor([1.0, 2.0, 4.0, 8.0, 3.0]).double()
    mask = torch.tensor([True, True, True, False, True])
    expected = whiten(whole, mask)
    # Two ranks hold three and two entries; the other's sums are added in the order of the calls.
    sums: list[Tensor] = []
    whiten(whole, mask, over_ranks=lambda x: sums.append(x) or x)
    for part in (slice(0, 3), slice(3, 5)):
        added = iter(sums)
        white = whiten(whole[part], mask[part], over_ranks=lambda _, added=added: next(added))
        torch.testing.assert_close(white, expected[part])


@given(rows=st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 3)), min_size=1, max_size=20))
def test_segment_sums_equal_a_loop(rows: list[tuple[float, int]]) -> None:
    x = torch.tensor([value for value, _ in rows], dtype=torch.float64)
    got = segment_sum(x, torch.tensor([at for _, at in rows]), 4)
    expected = [sum(value for value, at in rows if at == segment) for segment in range(4)]
    assert got.tolist() == pytest.approx(expected, abs=1e-12)


def test_segment_sum_spreads_its_gradient() -> None:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    segment_sum(x, torch.tensor([1, 0, 1]), 2).backward(torch.tensor([5.0, 7.0]))
    assert x.grad is not None and x.grad.tolist() == [7.0, 5.0, 7.0]
