import pytest
import torch
from batches import interleaved
from pair_batches import (
    assert_published,
    at_reference,
    gradient_at,
    pairs_of,
    published_pairs,
    value_at,
)

from fairlead.objectives.sppo import SPPO


def test_reference_losses(reference_value) -> None:
    given, expected, made = published_pairs(reference_value)
    assert_published(SPPO(beta=given["beta"]), made, expected["sppo_hard"]["per_pair"])


def test_at_the_reference_it_is_twice_the_square_of_the_target() -> None:
    assert value_at(SPPO(beta=0.1), at_reference()) == pytest.approx(50.0, rel=1e-12)


def test_it_rests_where_both_sides_are_at_their_targets() -> None:
    reference = interleaved(torch.tensor([-9.0]), torch.tensor([-3.0])).double()
    target = pairs_of(
        torch.tensor([-8.0]).double(), torch.tensor([-4.0]).double(), reference=reference
    )
    assert value_at(SPPO(beta=0.5), target) == 0.0
    assert torch.count_nonzero(gradient_at(SPPO(beta=0.5), target)) == 0


def test_a_falling_chosen_reply_is_punished_though_the_margin_is_kept() -> None:
    reference = torch.tensor([-9.0, -3.0], dtype=torch.float64)

    def loss(shift: float) -> float:
        sums = reference + torch.tensor([1.0, -1.0]).double() + shift
        return value_at(SPPO(beta=0.5), pairs_of(sums[:1], sums[1:], reference=reference))

    assert (loss(0.0), loss(-2.0), loss(-4.0)) == pytest.approx((0.0, 8.0, 32.0))
