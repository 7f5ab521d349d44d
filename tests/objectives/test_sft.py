import math

import pytest
import torch
from batches import of_lengths

from fairlead.objectives import Scores, Totals
from fairlead.objectives.sft import SFT, sft_loss


def test_worked_by_hand() -> None:
    # Probabilities 1/2, 1/4 and 1/8: (1 + 2 + 3) ln 2 over three tokens is 2 ln 2.
    batch = of_lengths(1, 2)
    logps = torch.tensor([0.5, 0.25, 0.125], dtype=torch.float64).log()
    loss = SFT()(Scores(logps=logps), batch, batch.totals())
    assert loss.value.item() == pytest.approx(2 * math.log(2), rel=1e-12)
    assert loss.metrics["loss/nll"].value == pytest.approx(2 * math.log(2), rel=1e-12)


def test_long_replies_weigh_more() -> None:
    # One token at nll 4, three at nll 0: the token mean is 1, the mean over replies would be 2.
    batch = of_lengths(1, 3)
    logps = torch.tensor([-4.0, 0.0, 0.0, 0.0])
    assert SFT()(Scores(logps=logps), batch, batch.totals()).value.item() == 1.0


def test_divides_by_the_whole_step() -> None:
    batch = of_lengths(2)
    totals = batch.totals() + Totals(rows=6)
    loss = SFT()(Scores(logps=torch.tensor([-4.0, -12.0])), batch, totals)
    assert loss.value.item() == 2.0  # 16 / (2 + 6)
    assert loss.metrics["loss/nll"].value == 8.0  # metrics are added later


def test_reference_values(reference_value) -> None:
    given, expected = reference_value("sft.nll")
    logps = given["logits"].log_softmax(-1).gather(2, given["labels"].long()[..., None])
    logps = logps.squeeze(2)[given["mask"].bool()]
    batch = of_lengths(3, 1)
    loss = SFT()(Scores(logps=logps), batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected["token_mean"], rel=1e-8)
    torch.testing.assert_close(
        -sft_loss(logps), expected["token_logps"][given["mask"].bool()], rtol=1e-8, atol=1e-9
    )
