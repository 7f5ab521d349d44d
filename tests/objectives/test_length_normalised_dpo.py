import pytest
from pair_batches import assert_published, at_reference, published_pairs, value_at, with_margins

from fairlead.objectives.dpo import DPO
from fairlead.objectives.length_normalised_dpo import LengthNormalisedDPO


def test_reference_losses(reference_value) -> None:
    given, expected, made = published_pairs(reference_value)
    objective = LengthNormalisedDPO(beta=given["beta"])
    assert_published(objective, made, expected["sigmoid_length_normalised"]["per_pair"])


def test_ln_2_at_the_reference() -> None:
    assert value_at(LengthNormalisedDPO(), at_reference()) == pytest.approx(0.6931471806, rel=1e-9)


def test_replies_of_one_token_are_those_of_dpo() -> None:
    given = with_margins(-3.0, 0.5, 8.0)
    assert value_at(LengthNormalisedDPO(beta=0.3), given) == pytest.approx(
        value_at(DPO(beta=0.3), given), rel=1e-12
    )
