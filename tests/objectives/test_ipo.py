import pytest
import torch
from pair_batches import (
    assert_published,
    at_reference,
    gradient_at,
    published_pairs,
    value_at,
    with_margins,
)

from fairlead.objectives.ipo import IPO


def test_reference_losses(reference_value) -> None:
    given, expected, made = published_pairs(reference_value)
    assert_published(IPO(tau=given["beta"]), made, expected["ipo_sum"]["per_pair"])


@pytest.mark.parametrize(("tau", "loss"), [(0.1, 25.0), (0.5, 1.0), (1.0, 0.25)])
def test_at_the_reference_it_is_the_square_of_the_target(tau: float, loss: float) -> None:
    assert value_at(IPO(tau=tau), at_reference()) == pytest.approx(loss, rel=1e-12)


def test_it_rests_at_a_margin_of_one_over_two_tau() -> None:
    at_target = with_margins(5.0, 5.0)
    assert value_at(IPO(tau=0.1), at_target) == pytest.approx(0.0, abs=1e-20)
    assert torch.count_nonzero(gradient_at(IPO(tau=0.1), at_target)) == 0
    # Beyond the target it pulls back: the chosen reply is made less likely.
    assert gradient_at(IPO(tau=0.1), with_margins(6.0))[0].item() == pytest.approx(2.0)
