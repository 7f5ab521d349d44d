import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st

from fairlead.functional.lagrangian import (
    constrained_advantages,
    log_space_multiplier,
    projected_multiplier,
)


@pytest.mark.parametrize(
    ("update", "name"),
    [
        (log_space_multiplier, "lambda_log_space"),
        (projected_multiplier, "lambda_projected"),
    ],
)
def test_reference_values(reference_value, update, name: str) -> None:
    given, expected = reference_value("rm.lagrangian")
    multiplier, path = given["lambda_init"], []
    for cost in given["mean_costs"].tolist():
        multiplier = update(
            multiplier,
            cost,
            rate=given["lr"],
            limit=given["threshold"],
            maximum=given["lambda_max"],
        )
        path.append(multiplier)
    assert path == pytest.approx(expected[name].tolist(), rel=1e-8)
    if update is log_space_multiplier:
        joint = constrained_advantages(given["adv_reward"], given["adv_cost"], multiplier)
        wanted = expected["combined_advantage_with_last_lambda"]
        torch.testing.assert_close(joint, wanted, rtol=1e-8, atol=1e-9)


@drawn(multiplier=st.floats(0.01, 5.0), cost=st.floats(-20, 20), limit=st.floats(-5, 5))
def test_rises_just_where_replies_cost_too_much(
    multiplier: float, cost: float, limit: float
) -> None:
    settings = {"rate": 0.1, "limit": limit, "maximum": 5.0}
    for update in (log_space_multiplier, projected_multiplier):
        after = update(multiplier, cost, **settings)
        assert 0 <= after <= 5
        assert after >= multiplier if cost > limit else after <= multiplier
    assert log_space_multiplier(multiplier, cost, **settings) > 0


def test_only_the_projected_multiplier_reaches_0_and_leaves_it() -> None:
    settings = {"rate": 0.1, "limit": 0.0, "maximum": 5.0}
    assert projected_multiplier(0.1, -3.0, **settings) == 0.0
    assert projected_multiplier(0.0, 3.0, **settings) == pytest.approx(0.3)
    assert log_space_multiplier(5.0, 100.0, **settings) == 5.0


def test_at_0_the_cost_does_not_count_and_at_1_it_counts_half() -> None:
    reward, cost = torch.tensor([2.0, -1.0]), torch.tensor([4.0, 1.0])
    assert constrained_advantages(reward, cost, 0.0).tolist() == [2.0, -1.0]
    assert constrained_advantages(reward, cost, 1.0).tolist() == [-1.0, -1.0]
