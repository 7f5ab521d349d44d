import pytest
import torch
from reply_batches import loss_of, reply_batch
from test_grpo import published

from fairlead.objectives.dapo import DAPO


def test_reference_loss(reference_value) -> None:
    new, batch, expected = published(reference_value)
    loss = loss_of(DAPO(), new, batch)
    assert loss.value.item() == pytest.approx(expected["no_kl"]["token_mean"], rel=1e-8)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.25, 1.0, -1.25),  # between 1.2 and 1.28: still free, where PPO would have stopped
        (1.5, 1.0, -1.28),
        (0.7, -1.0, 0.8),  # below as in PPO
    ],
)
def test_there_is_more_room_above(ratio: float, advantage: float, loss: float) -> None:
    batch = reply_batch([1], advantages=[advantage])
    got = loss_of(DAPO(), torch.tensor([ratio]).double().log(), batch).value.item()
    assert got == pytest.approx(loss, rel=1e-12)
