import pytest
from pair_batches import at_reference, published_pairs, value_at

from fairlead.objectives.dpo import DPO
from fairlead.objectives.step_dpo import StepDPO


def test_the_maths_are_those_of_dpo(reference_value) -> None:
    given, expected, made = published_pairs(reference_value)
    value = value_at(StepDPO(beta=given["beta"]), made)
    assert value == pytest.approx(expected["sigmoid"]["mean"], rel=1e-8)
    assert value == value_at(DPO(beta=given["beta"]), made)


def test_ln_2_at_the_reference() -> None:
    assert value_at(StepDPO(), at_reference()) == pytest.approx(0.6931471806, rel=1e-9)


def test_it_holds_a_step_tighter_than_dpo_holds_a_reply() -> None:
    assert (StepDPO().beta, DPO().beta) == (0.5, 0.1)
