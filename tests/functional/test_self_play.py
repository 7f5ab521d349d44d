import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import ConfigError
from fairlead.functional.self_play import (
    challenger_rewards,
    length_factor,
    solver_rewards,
    tent,
)


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_tent_by_hand():
    torch.testing.assert_close(tent(t(0, 0.25, 0.5, 0.75, 1)), t(0, 0.5, 1, 0.5, 0))
    torch.testing.assert_close(tent(t(0.1, 0.2, 0.6), target=0.2), t(0.5, 1, 0.5))


@given(success=st.floats(0, 1), target=st.floats(0.01, 0.99))
def test_tent_stays_within_0_and_1_with_its_top_at_the_target(success: float, target: float):
    value = tent(t(success), target=target).item()
    assert -1e-12 <= value <= 1 + 1e-12
    assert tent(t(target), target=target).item() == pytest.approx(1.0)


def test_length_factor_by_hand():
    lengths = torch.tensor([0, 1024, 1280, 1536, 2048, 9000])
    quarter = 0.05 + 0.95 * (1 + math.cos(math.pi / 4)) / 2
    expected = t(1, 1, quarter, 0.525, 0.05, 0.05)
    torch.testing.assert_close(length_factor(lengths, free=1024, limit=2048), expected)


@given(a=st.integers(0, 50), b=st.integers(0, 50))
def test_longer_is_never_better(a: int, b: int):
    short, long = length_factor(torch.tensor(sorted((a, b))), free=10, limit=30).tolist()
    assert 0.05 <= long <= short <= 1


def test_rewards_by_hand():
    found = challenger_rewards(t(1, 1, 0), t(0.5, 1.0, 0.5))
    torch.testing.assert_close(found, t(1.5, 0.5, 0.0))
    found = solver_rewards(t(1, 1, 0), t(1, 0, 1), t(0.525, 1, 1))
    torch.testing.assert_close(found, t(1.025, 0.5, 1.0))


def test_impossible_shapes_are_refused():
    with pytest.raises(ConfigError, match="top between 0 and 1"):
        tent(t(0.5), target=1.0)
    with pytest.raises(ConfigError, match="room to fall"):
        length_factor(torch.tensor([1]), free=5, limit=5)
