import math

import pytest
import torch
from batches import interleaved, pairs

from fairlead.objectives import Scores
from fairlead.objectives.conservative_dpo import ConservativeDPO, conservative_dpo_loss


def test_reference_losses(reference_value) -> None:
    given, expected = reference_value("pref.dpo")
    logps = interleaved(given["policy_chosen"], given["policy_rejected"])
    reference = interleaved(given["ref_chosen"], given["ref_rejected"])
    settings = {"beta": given["beta"], "flip_rate": given["epsilon"]}
    ratio = logps - reference
    per_pair = conservative_dpo_loss(ratio[0::2] - ratio[1::2], **settings)
    torch.testing.assert_close(per_pair, expected["cdpo"]["per_pair"], rtol=1e-8, atol=1e-9)
    batch = pairs(3, reference)
    loss = ConservativeDPO(**settings)(Scores(logps=logps), batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected["cdpo"]["mean"], rel=1e-8)


@pytest.mark.parametrize("epsilon", [0.05, 0.1, 0.4])
def test_smoothed_loss_rests_at_the_log_odds_of_right_labels(epsilon: float) -> None:
    beta = 0.3
    margin = torch.tensor([math.log((1 - epsilon) / epsilon) / beta], dtype=torch.float64)
    margin.requires_grad_()
    loss = conservative_dpo_loss(margin, beta=beta, flip_rate=epsilon)
    (slope,) = torch.autograd.grad(loss, margin)
    assert slope.item() == pytest.approx(0.0, abs=1e-12)
    # There it equals the entropy of a label that is right with probability 1 - epsilon.
    entropy = -epsilon * math.log(epsilon) - (1 - epsilon) * math.log(1 - epsilon)
    assert loss.item() == pytest.approx(entropy, rel=1e-9)
