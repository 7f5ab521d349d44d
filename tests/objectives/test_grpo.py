from typing import Any

import pytest
import torch
from reply_batches import (
    CLOSE,
    EXACT,
    gradient_of,
    loss_of,
    masked,
    metrics_of,
    normal,
    over_rows,
    reply_batch,
)
from torch import Tensor

from fairlead.functional.groups import group_advantages
from fairlead.functional.kl import k2, k3
from fairlead.objectives import RolloutBatch
from fairlead.objectives.dapo import DAPO
from fairlead.objectives.dr_grpo import DrGRPO
from fairlead.objectives.grpo import GRPO


def published(reference_value) -> tuple[Tensor, RolloutBatch, dict[str, Any]]:
    given, expected = reference_value("rl.grpo_loss")
    new, old, reference = (
        masked(given[n], given["mask"]) for n in ("logp_new", "logp_old", "ref_logp")
    )
    batch = reply_batch(
        [5, 3],
        old_logps=old,
        reference=reference,
        advantages=over_rows(given["advantages"], [5, 3]),
        budget=given["max_len"],
    )
    return new, batch, expected


KINDS = {"grpo": GRPO, "token_mean": DAPO, "dr_grpo": DrGRPO}


@pytest.mark.parametrize("kind", KINDS)
def test_reference_losses(reference_value, kind: str) -> None:
    new, batch, expected = published(reference_value)
    for name, settings in (
        ("no_kl", {}),
        ("with_kl", {"beta": 0.04, "kl_estimator": "k3"}),
        ("with_ratio_corrected_kl", {"beta": 0.04}),
    ):
        loss = loss_of(KINDS[kind](clip_high=0.28, **settings), new, batch)
        assert loss.value.item() == pytest.approx(expected[name][kind], rel=1e-8), name


def test_the_kl_in_the_loss_is_named_after_its_estimator(reference_value) -> None:
    new, batch, _ = published(reference_value)
    assert batch.reference is not None
    loss = loss_of(GRPO(beta=0.04, kl_estimator="k3"), new, batch)
    mean = k3(new, batch.reference).mean().item()
    assert metrics_of(loss)["policy/kl_reference_k3"] == pytest.approx(mean, rel=1e-8)
    loss = loss_of(GRPO(beta=0.04, kl_estimator="k2"), new, batch)
    mean = k2(new, batch.reference).mean().item()
    assert metrics_of(loss)["policy/kl_reference_k2"] == pytest.approx(mean, rel=1e-8)
    assert not [n for n in metrics_of(loss_of(GRPO(), new, batch)) if "kl_reference" in n]


def test_with_one_epoch_the_gradient_is_that_of_reinforce() -> None:
    lengths, logps = [4, 1, 2], normal(0, 7)
    advantages = torch.tensor([0.7, -1.1, 0.4]).double()
    batch = reply_batch(
        lengths, old_logps=logps, reference=logps, advantages=over_rows(advantages, lengths)
    )
    # The mean over replies of the mean over tokens of A * log-probability, term by term.
    expected = over_rows(-advantages / torch.tensor(lengths) / 3, lengths)
    torch.testing.assert_close(gradient_of(GRPO(), logps, batch), expected, **EXACT)


def test_a_group_without_spread_has_no_gradient_at_all() -> None:
    scores = torch.tensor([0.1, 0.1, 0.1, 0.0, 1.0]).double()
    advantages = group_advantages(scores, torch.tensor([0, 0, 0, 1, 1]))
    lengths = [3, 2, 1, 2, 2]
    logps = normal(1, 10)
    batch = reply_batch(
        lengths,
        old_logps=logps + normal(2, 10),
        reference=normal(3, 10),
        advantages=over_rows(advantages, lengths),
    )
    gradient = gradient_of(GRPO(), logps, batch)
    assert gradient[:6].tolist() == [0.0] * 6
    assert gradient[6:].count_nonzero() > 0


def test_kl_pulls_along_the_true_gradient_whatever_sampled(reference_value) -> None:
    """Over a whole distribution: sum over tokens of p_old * loss is the KL, for any p_old."""
    given, expected = reference_value("rl.kl_gradients")
    logits = given["logits"].requires_grad_()
    logp, reference = logits.log_softmax(0), given["ref_logits"].log_softmax(0)
    old = normal(4, 4).log_softmax(0)
    total = logp.new_zeros(())
    for token in range(4):
        batch = reply_batch([1], old_logps=old[[token]], reference=reference[[token]])
        total = total + old[token].exp() * loss_of(GRPO(beta=1.0), logp[[token]], batch).value
    assert total.item() == pytest.approx(expected["kl_reverse"], rel=1e-8)
    (gradient,) = torch.autograd.grad(total, logits)
    torch.testing.assert_close(gradient, expected["grad_true_reverse_kl"], **CLOSE)


def test_shares_of_what_the_clip_stopped() -> None:
    # Raised enough and good: stopped above. Lowered enough and bad: stopped below. Others not.
    batch = reply_batch([4], advantages=[1.0, -1.0, 1.0, -1.0], reference=torch.zeros(4).double())
    logps = torch.tensor([0.5, -0.5, -0.5, 0.5]).double()
    metrics = metrics_of(loss_of(GRPO(), logps, batch))
    assert metrics["policy/clip_fraction"] == 0.5
    assert metrics["policy/clip_low_fraction"] == metrics["policy/clip_high_fraction"] == 0.25
