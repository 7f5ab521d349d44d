import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from reply_batches import CLOSE, gradient_of, loss_of, masked, metrics_of, over_rows, reply_batch

from fairlead.objectives.gspo import GSPO


def test_reference_loss(reference_value) -> None:
    given, expected = reference_value("rl.gspo")
    new, old = (masked(given[n], given["mask"]) for n in ("logp_new", "logp_old"))
    lengths = [5, 3, 4]
    advantages = over_rows(given["advantages"], lengths)
    loss = loss_of(GSPO(), new, reply_batch(lengths, old_logps=old, advantages=advantages))
    assert loss.value.item() == pytest.approx(expected["loss"], rel=1e-8)
    metrics = metrics_of(loss)
    assert metrics["policy/clip_fraction"] == pytest.approx(expected["clipfrac"])


@drawn(length=st.integers(1, 9), log_ratio=st.floats(-0.001, 0.001), good=st.booleans())
def test_the_loss_does_not_depend_on_length(length: int, log_ratio: float, good: bool) -> None:
    advantage = 1.0 if good else -1.0
    one = reply_batch([1], advantages=[advantage])
    many = reply_batch([length], advantages=[advantage] * length)
    short = loss_of(GSPO(), torch.tensor([log_ratio]).double(), one).value
    long = loss_of(GSPO(), torch.full((length,), log_ratio).double(), many).value
    torch.testing.assert_close(short, long, **CLOSE)


def test_gradient_is_shared_among_the_tokens() -> None:
    # d s / d log-probability = s / |y|; s = 1 here, and the mean is over two replies.
    batch = reply_batch([4, 1], advantages=[2.0] * 4 + [-1.0])
    gradient = gradient_of(GSPO(), torch.zeros(5).double(), batch)
    assert gradient.tolist() == pytest.approx([-0.25] * 4 + [0.5])


def test_tokens_that_make_up_for_each_other_leave_the_ratio_at_one() -> None:
    batch = reply_batch([2], advantages=[1.0, 1.0])
    loss = loss_of(GSPO(), torch.tensor([0.7, -0.7]).double(), batch)
    assert loss.value.item() == pytest.approx(-1.0, rel=1e-12)
    assert metrics_of(loss)["policy/clip_fraction"] == 0.0
