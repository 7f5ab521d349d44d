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

from fairlead.objectives.hinge import Hinge


def test_reference_losses(reference_value) -> None:
    given, expected, made = published_pairs(reference_value)
    assert_published(Hinge(beta=given["beta"]), made, expected["hinge"]["per_pair"])


def test_1_at_the_reference() -> None:
    assert value_at(Hinge(), at_reference()) == pytest.approx(1.0, rel=1e-12)


def test_a_pair_beyond_the_margin_has_no_gradient() -> None:
    gradient = gradient_at(Hinge(beta=0.5), with_margins(1.9, 2.1))
    torch.testing.assert_close(gradient, torch.tensor([-0.25, 0.25, 0.0, 0.0]).double())


def test_it_grows_straight_below_the_margin() -> None:
    assert value_at(Hinge(beta=0.1), with_margins(-1000.0)) == pytest.approx(101.0)
