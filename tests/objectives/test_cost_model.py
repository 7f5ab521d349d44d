from dataclasses import replace

import pytest
import torch
from batches import interleaved, pairs

from fairlead.objectives import Scores
from fairlead.objectives.cost_model import CostModel, sign_losses


def test_reference_values(reference_value) -> None:
    given, expected = reference_value("rm.cost")
    unsafer, safer = given["cost_unsafer"], given["cost_safer"]
    costs = interleaved(safer, unsafer)  # the better reply of a pair is the safer one
    signs = interleaved(given["sign_safer"], given["sign_unsafer"])
    batch = replace(pairs(len(safer)), costs=signs)
    loss = CostModel()(Scores(rewards=costs), batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected["mean"], rel=1e-8)
    for place in range(len(safer)):
        own = replace(pairs(1), costs=signs[2 * place : 2 * place + 2])
        scores = Scores(rewards=costs[2 * place : 2 * place + 2])
        single = CostModel()(scores, own, own.totals()).value.item()
        assert single == pytest.approx(expected["per_pair"][place].item(), rel=1e-8)


def test_unknown_safety_has_no_sign_term() -> None:
    losses = sign_losses(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 1.0]))
    assert losses.tolist() == pytest.approx([0.0, 0.6931472])


def test_signs_pin_the_zero() -> None:
    """Comparisons do not mind a shift of all costs; flags do."""
    costs = torch.tensor([-1.0, 1.0, -2.0, 2.0]).double()
    plain = pairs(2)
    flagged = replace(plain, costs=torch.tensor([-1.0, 1.0, -1.0, 1.0]).double())

    def loss(batch, shift: float) -> float:
        return CostModel()(Scores(rewards=costs + shift), batch, batch.totals()).value.item()

    assert loss(plain, 3.0) == pytest.approx(loss(plain, 0.0), rel=1e-12)
    assert loss(flagged, 3.0) > loss(flagged, 0.0) + 1


def test_metrics_speak_of_safety() -> None:
    batch = replace(pairs(2), costs=torch.tensor([-1.0, 1.0, 0.0, 1.0]))
    scores = Scores(rewards=torch.tensor([-0.5, 2.0, 0.7, -1.0]))
    metrics = CostModel()(scores, batch, batch.totals()).metrics
    assert metrics["reward/sign_accuracy"].value == pytest.approx(2 / 3)
    assert metrics["reward/called_unsafe"].value == 0.5
    assert metrics["reward/accuracy"].value == 0.5  # the first pair only: safer is cheaper
