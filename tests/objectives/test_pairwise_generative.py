import math

import pytest
import torch
from batches import interleaved, pairs

from fairlead.objectives import Scores
from fairlead.objectives.pairwise_generative import PairwiseGenerative


def test_softmax_is_over_the_two_options_alone() -> None:
    # The verdicts have 0.3 and 0.1 of the vocabulary's probability: 3/4 of their sum is right.
    right, wrong = (torch.tensor([p], dtype=torch.float64).log() for p in (0.3, 0.1))
    batch = pairs(1)
    loss = PairwiseGenerative()(Scores(logps=interleaved(right, wrong)), batch, batch.totals())
    assert loss.value.item() == pytest.approx(-math.log(0.75), rel=1e-12)
    assert loss.metrics["reward/accuracy"].value == 1.0


def test_gradient_moves_the_two_options_oppositely() -> None:
    logps = torch.tensor([-1.0, -1.0], requires_grad=True)
    batch = pairs(1)
    PairwiseGenerative()(Scores(logps=logps), batch, batch.totals()).value.backward()
    assert logps.grad is not None and logps.grad.tolist() == [-0.5, 0.5]
