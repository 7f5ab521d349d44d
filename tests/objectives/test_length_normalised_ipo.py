import pytest
import torch
from pair_batches import (
    assert_published,
    at_reference,
    pairs_of,
    published_pairs,
    value_at,
    with_margins,
)

from fairlead.objectives.ipo import IPO
from fairlead.objectives.length_normalised_ipo import LengthNormalisedIPO


def test_reference_losses(reference_value) -> None:
    given, expected, made = published_pairs(reference_value)
    objective = LengthNormalisedIPO(tau=given["beta"])
    assert_published(objective, made, expected["ipo_token_mean"]["per_pair"])


def test_at_the_reference_it_is_the_square_of_the_target() -> None:
    assert value_at(LengthNormalisedIPO(tau=0.1), at_reference()) == pytest.approx(25.0, rel=1e-12)


def test_replies_of_one_token_are_those_of_ipo() -> None:
    given = with_margins(-3.0, 0.5, 8.0)
    assert value_at(LengthNormalisedIPO(tau=0.3), given) == pytest.approx(
        value_at(IPO(tau=0.3), given), rel=1e-12
    )


def test_replies_of_equal_length_are_ipo_on_the_margin_per_token() -> None:
    chosen, rejected = torch.tensor([[-8.0], [-20.0]], dtype=torch.float64)
    reference = torch.tensor([-10.0, -10.0], dtype=torch.float64)
    given = pairs_of(chosen, rejected, reference=reference, lengths=([4], [4]))
    # Log-ratios +2 and -10 over 4 tokens: a margin of 3 per token against a target of 1.
    assert value_at(LengthNormalisedIPO(tau=0.5), given) == pytest.approx(4.0, rel=1e-12)
