import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairlead.core.errors import DataError
from fairlead.functional.length_bias import fit_length, held_out_residual, pearson

CLOSE = {"rtol": 1e-8, "atol": 1e-9}


def drawn(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rewards that follow length in part, and lengths of which two at least differ."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 300, (n,), generator=random).double()
    lengths[0] = 301
    noise = torch.randn(n, generator=random, dtype=torch.float64)
    return 0.01 * lengths + noise, lengths


def test_reference_values(reference_value) -> None:
    given, expected = reference_value("rm.length_residual")
    rewards, lengths = given["rewards"], given["lengths"]
    fit = fit_length(rewards, lengths)
    assert fit.slope == pytest.approx(expected["slope"], rel=1e-8)
    assert fit.intercept == pytest.approx(expected["intercept"], rel=1e-8)
    torch.testing.assert_close(fit.residual(rewards, lengths), expected["residual"], **CLOSE)
    assert pearson(rewards, lengths) == pytest.approx(expected["pearson"], rel=1e-8)


@given(n=st.integers(3, 30), seed=st.integers(0, 99))
def test_against_numpy_and_nothing_of_length_is_left(n: int, seed: int) -> None:
    rewards, lengths = drawn(n, seed)
    fit = fit_length(rewards, lengths)
    slope, intercept = np.polyfit(lengths.numpy(), rewards.numpy(), 1)
    assert (fit.slope, fit.intercept) == pytest.approx((slope, intercept), rel=1e-6, abs=1e-9)
    residual = fit.residual(rewards, lengths)
    assert residual.mean().item() == pytest.approx(rewards.mean().item(), abs=1e-9)
    spreads = residual.std(correction=0) * lengths.std(correction=0)
    covariance = ((residual - residual.mean()) * (lengths - lengths.mean())).mean()
    assert float(covariance / spreads.clamp(min=1e-6)) == pytest.approx(0.0, abs=1e-6)
    assert pearson(rewards, lengths) == pytest.approx(
        np.corrcoef(rewards.numpy(), lengths.numpy())[0, 1], abs=1e-9
    )


def test_a_line_leaves_a_constant() -> None:
    lengths = torch.tensor([10.0, 20.0, 60.0])
    rewards = 0.5 * lengths - 3
    fit = fit_length(rewards, lengths)
    assert (fit.slope, fit.intercept, fit.mean_length) == pytest.approx((0.5, -3.0, 30.0))
    torch.testing.assert_close(fit.residual(rewards, lengths), torch.full((3,), 12.0))
    assert pearson(rewards, lengths) == pytest.approx(1.0)
    assert pearson(-rewards, lengths) == pytest.approx(-1.0)


@given(groups=st.integers(2, 5), each=st.integers(2, 6), seed=st.integers(0, 99))
def test_a_held_out_group_does_not_shape_its_own_line(groups: int, each: int, seed: int) -> None:
    rewards, lengths = drawn(groups * each, seed)
    group = torch.arange(groups).repeat_interleave(each)
    residual = held_out_residual(rewards, lengths, group)
    inside = group == groups - 1
    others = fit_length(rewards[~inside], lengths[~inside])
    expected = others.residual(rewards[inside], lengths[inside])
    torch.testing.assert_close(residual[inside], expected)
    moved = torch.where(inside, rewards + 100, rewards)
    torch.testing.assert_close(
        held_out_residual(moved, lengths, group)[inside], residual[inside] + 100
    )


def test_no_line_is_refused() -> None:
    with pytest.raises(DataError, match="one length"):
        fit_length(torch.tensor([1.0, 2.0]), torch.tensor([5.0, 5.0]))
    with pytest.raises(DataError, match="one length"):
        held_out_residual(torch.ones(3), torch.arange(3.0), torch.zeros(3, dtype=torch.int64))
    assert math.isnan(pearson(torch.ones(3), torch.arange(3.0)))
