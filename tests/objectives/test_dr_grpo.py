import pytest
import torch
from reply_batches import EXACT, gradient_of, loss_of, normal, over_rows, reply_batch
from test_grpo import published

from fairlead.functional.groups import group_advantages, leave_one_out_advantages
from fairlead.objectives.dr_grpo import DrGRPO


def test_reference_loss(reference_value) -> None:
    new, batch, expected = published(reference_value)
    loss = loss_of(DrGRPO(clip_high=0.28), new, batch)
    assert loss.value.item() == pytest.approx(expected["no_kl"]["dr_grpo"], rel=1e-8)


def test_every_token_weighs_the_same_however_long_its_reply() -> None:
    lengths, logps = [4, 1, 2], normal(0, 7)
    advantages = over_rows(torch.tensor([0.7, -1.1, 0.4]).double(), lengths)
    batch = reply_batch(lengths, budget=10, old_logps=logps, advantages=advantages)
    gradient = gradient_of(DrGRPO(), logps, batch)
    torch.testing.assert_close(gradient, -advantages / (10 * 3), **EXACT)


def test_its_credit_is_leave_one_out_but_for_a_constant() -> None:
    scores, group = normal(1, 6), torch.tensor([0, 1, 0, 1, 0, 1])
    plain = group_advantages(scores, group, scale="none")
    torch.testing.assert_close(leave_one_out_advantages(scores, group), plain * 3 / 2, **EXACT)
