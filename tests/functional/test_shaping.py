import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairlead.core.errors import DataError
from fairlead.functional.shaping import (
    Affine,
    centred,
    clip_limits,
    log_sigmoid_centred,
    normalisation,
    preference_as_reward,
    shift,
    sigmoid_centred,
    tanh_bounded,
)

CLOSE = {"rtol": 1e-8, "atol": 1e-9}


def drawn(*shape: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(*shape, generator=random, dtype=torch.float64) + 1


def test_reference_normalisation(reference_value) -> None:
    given, expected = reference_value("rm.normalize")
    rewards = given["rewards_on_reference"]
    change = normalisation(rewards, mean=given["target_mean"], std=given["target_std"])
    assert change.gain == pytest.approx(expected["gain"], rel=1e-8)
    assert change.bias == pytest.approx(expected["bias"], rel=1e-8)
    torch.testing.assert_close(change(rewards), expected["normalized"], **CLOSE)
    torch.testing.assert_close(shift(rewards)(rewards), expected["shift_only"], **CLOSE)


def test_reference_par(reference_value) -> None:
    given, expected = reference_value("rm.par")
    rewards, references = given["reward"], given["ref_rewards"]
    torch.testing.assert_close(preference_as_reward(rewards, references), expected["par"], **CLOSE)
    torch.testing.assert_close(centred(rewards, references), expected["centered"], **CLOSE)
    of_mean = sigmoid_centred(rewards, references)
    torch.testing.assert_close(of_mean, expected["par_of_mean_ref"], **CLOSE)
    torch.testing.assert_close(log_sigmoid_centred(rewards, references), of_mean.log(), **CLOSE)


@given(n=st.integers(2, 20), seed=st.integers(0, 99), mean=st.floats(-5, 5), std=st.floats(0.1, 9))
def test_normalised_scores_have_the_scale_and_a_second_change_is_identity(
    n: int, seed: int, mean: float, std: float
) -> None:
    rewards = drawn(n, seed=seed)
    there = normalisation(rewards, mean=mean, std=std)(rewards)
    assert there.mean().item() == pytest.approx(mean, abs=1e-9)
    assert there.std(correction=0).item() == pytest.approx(std, rel=1e-9)
    again = normalisation(there, mean=mean, std=std)
    assert again.gain == pytest.approx(1.0, rel=1e-9)
    assert again.bias == pytest.approx(0.0, abs=1e-8)
    assert shift(there, mean=mean).bias == pytest.approx(0.0, abs=1e-9)


def test_equal_scores_have_no_scale() -> None:
    with pytest.raises(DataError, match="no scale"):
        normalisation(torch.full((4,), 2.5))
    assert shift(torch.full((4,), 2.5)) == Affine(1.0, -2.5)


@given(n=st.integers(1, 6), m=st.integers(1, 8), seed=st.integers(0, 99), k=st.floats(0.1, 5))
def test_par_is_one_half_at_the_references_and_bounded(n: int, m: int, seed: int, k: float) -> None:
    references = drawn(n, m, seed=seed)
    at = references[:, :1].expand(n, m).contiguous()
    assert preference_as_reward(at[:, 0], at, k=k).tolist() == pytest.approx([0.5] * n)
    rewards = drawn(n, seed=seed + 1)
    shaped = preference_as_reward(rewards, references, k=k)
    assert bool(((shaped >= 0) & (shaped <= 1)).all())
    assert bool((preference_as_reward(rewards + 0.5, references, k=k) > shaped).all())
    # One common shift of rewards and references changes nothing.
    torch.testing.assert_close(preference_as_reward(rewards + 7, references + 7, k=k), shaped)


def test_par_against_one_reference_is_the_sigmoid_of_the_difference() -> None:
    rewards, references = drawn(5, seed=0), drawn(5, 1, seed=1)
    torch.testing.assert_close(
        preference_as_reward(rewards, references, k=2.0),
        sigmoid_centred(rewards, references, k=2.0),
    )
    assert preference_as_reward(
        torch.tensor([math.log(3)]), torch.zeros(1, 1)
    ).item() == pytest.approx(0.75)


def test_tanh_keeps_small_scores_and_bounds_large_ones() -> None:
    small = torch.tensor([1e-4, -1e-4], dtype=torch.float64)
    torch.testing.assert_close(tanh_bounded(small, scale=5.0), small, rtol=1e-6, atol=0)
    assert tanh_bounded(torch.tensor([1e6, -1e6]), scale=5.0).tolist() == [5.0, -5.0]


def test_limits_worked_by_hand() -> None:
    # Mean 2, deviation 1 (squares over their number).
    assert clip_limits(torch.tensor([1.0, 3.0]), deviations=1.5) == (0.5, 3.5)
