from dataclasses import replace

import pytest
import torch
from pair_batches import Given, at_reference, gradient_at, published_pairs, value_at

from fairlead.objectives import Need
from fairlead.objectives.dpo import DPO
from fairlead.objectives.xpo import XPO


def explored(given: Given, *marks: bool) -> Given:
    return Given(given.logps, replace(given.batch, explored=torch.tensor(marks)))


def test_without_a_bonus_it_is_dpo(reference_value) -> None:
    given, expected, made = published_pairs(reference_value)
    marked = explored(made, *([True, False] * 3))
    value = value_at(XPO(beta=given["beta"], alpha=0.0), marked)
    assert value == pytest.approx(expected["sigmoid"]["mean"], rel=1e-8)


def test_the_bonus_is_on_the_references_replies_whichever_side_they_are() -> None:
    given = explored(at_reference(2), True, False, False, True)
    extra = value_at(XPO(alpha=0.1), given) - value_at(DPO(), given)
    theirs = given.logps[0] + given.logps[3]
    assert extra == pytest.approx(0.1 * theirs.item() / 2, rel=1e-9)
    moved = gradient_at(XPO(alpha=0.1), given) - gradient_at(DPO(), given)
    assert moved.tolist() == pytest.approx([0.05, 0.0, 0.0, 0.05])


def test_pairs_without_the_references_replies_have_no_bonus() -> None:
    assert value_at(XPO(alpha=5.0), at_reference()) == pytest.approx(0.6931471806, rel=1e-9)


def test_it_is_online_and_explores() -> None:
    assert Need.ROLLOUTS in XPO.needs and XPO.explores
    assert XPO.rollouts["samples"] == 1
