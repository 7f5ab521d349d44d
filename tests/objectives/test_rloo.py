import pytest
import torch
from reply_batches import CLOSE, EXACT, gradient_of, loss_of, metrics_of, normal, reply_batch

from fairlead.objectives.rloo import RLOO


def test_reference_loss(reference_value) -> None:
    given, expected = reference_value("rl.rloo")
    advantages = expected["advantages_with_kl"].flatten()
    batch = reply_batch([1] * 8, advantages=advantages)
    log_ratio = given["seq_log_ratio"].flatten()
    loss = loss_of(RLOO(), log_ratio, batch)
    assert loss.value.item() == pytest.approx(expected["clipped_loss"], rel=1e-8)


def test_before_the_first_update_it_is_reinforce_on_whole_replies() -> None:
    lengths, logps = [3, 1, 2], normal(0, 6)
    advantages = torch.tensor([1.0, 1.0, 1.0, -2.0, 0.5, 0.5]).double()
    batch = reply_batch(lengths, old_logps=logps, advantages=advantages)
    torch.testing.assert_close(gradient_of(RLOO(), logps, batch), -advantages / 3, **EXACT)


def test_the_ratio_is_that_of_the_whole_reply() -> None:
    # Two tokens, each 0.1 nats up: ratio exp(0.2) = 1.2214, beyond 1.2 though no token is.
    batch = reply_batch([2], advantages=[3.0, 3.0])
    up = torch.full((2,), 0.1, dtype=torch.float64)
    loss = loss_of(RLOO(), up, batch)
    assert loss.value.item() == pytest.approx(-3 * 1.2)
    assert gradient_of(RLOO(), up, batch).tolist() == [0.0, 0.0]
    metrics = metrics_of(loss)
    assert metrics["policy/clip_fraction"] == metrics["policy/clip_high_fraction"] == 1.0
    assert metrics["policy/clip_low_fraction"] == 0.0


def test_how_a_reply_is_cut_into_tokens_does_not_matter() -> None:
    whole = reply_batch([1, 1], advantages=[1.0, -1.0])
    cut = reply_batch([2, 3], advantages=[1.0] * 2 + [-1.0] * 3)
    one = loss_of(RLOO(), torch.tensor([0.1, 0.12]).double(), whole)
    other = loss_of(RLOO(), torch.tensor([0.3, -0.2, 0.1, 0.1, -0.08]).double(), cut)
    torch.testing.assert_close(one.value, other.value, **CLOSE)


def test_a_ratio_that_would_overflow_stays_finite() -> None:
    batch = reply_batch([50], advantages=[-1.0] * 50)
    assert loss_of(RLOO(), torch.full((50,), 30.0), batch).value.isfinite()
