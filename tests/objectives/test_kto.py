from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fairlead.core.metrics import merge
from fairlead.data.batches import pack
from fairlead.data.chat import Item
from fairlead.objectives import Loss, Scores, Totals, UnpairedBatch
from fairlead.objectives.kto import KTO, kto_loss


def batch_of(desirable: list[bool], reference: Tensor, mismatched: Tensor) -> UnpairedBatch:
    """Replies of one token each."""
    one = Item((1,), ((2,),))
    return UnpairedBatch(
        packed=pack([one] * len(desirable)),
        desirable=torch.tensor(desirable),
        reference=reference,
        mismatched=pack([one] * len(mismatched)),
        mismatched_reference=mismatched,
    )


def totals_of(objective: KTO, *parts: tuple[UnpairedBatch, Tensor]) -> Totals:
    """Totals of a step of batches with the policy's mismatched log-probabilities."""
    sums = torch.stack([objective.statistics(Scores(logps=own), b) for b, own in parts]).sum(0)
    counts = sum((batch.totals() for batch, _ in parts), Totals())
    return replace(counts, statistics=tuple(sums.tolist()))


def published(reference_value) -> tuple[KTO, dict, Tensor, UnpairedBatch, Totals]:
    given, expected = reference_value("pref.kto")
    objective = KTO(
        beta=given["beta"],
        desirable_weight=given["weight_desirable"],
        undesirable_weight=given["weight_undesirable"],
    )
    reference = torch.cat([given["ref_chosen"], given["ref_rejected"]])
    batch = batch_of([True] * 2 + [False] * 3, reference, given["ref_kl"])
    logps = torch.cat([given["policy_chosen"], given["policy_rejected"]])
    return objective, expected, logps, batch, totals_of(objective, (batch, given["policy_kl"]))


def test_reference_value(reference_value) -> None:
    objective, expected, logps, batch, totals = published(reference_value)
    loss = objective(Scores(logps=logps), batch, totals)
    assert loss.value.item() == pytest.approx(expected["mean"], rel=1e-8)
    assert loss.metrics["policy/reference_point"].value == pytest.approx(expected["kl"], rel=1e-8)
    each = torch.cat([expected["desirable_losses"], expected["undesirable_losses"]])
    own = kto_loss(
        logps - batch.reference,
        batch.desirable.double(),
        beta=objective.beta,
        reference_point=expected["kl"],
    )
    torch.testing.assert_close(own, each, rtol=1e-8, atol=1e-9)


def at_start(*desirable: bool) -> tuple[Tensor, UnpairedBatch]:
    reference = torch.linspace(-30, -2, len(desirable), dtype=torch.float64)
    return reference.clone(), batch_of(list(desirable), reference, reference.flip(0))


@pytest.mark.parametrize("desirable", [(True, True), (False, False, False), (True, False)])
def test_a_half_at_the_reference_for_both_kinds(desirable: tuple[bool, ...]) -> None:
    logps, batch = at_start(*desirable)
    totals = totals_of(KTO(), (batch, batch.mismatched_reference))
    loss = KTO()(Scores(logps=logps), batch, totals)
    assert loss.value.item() == pytest.approx(0.5, rel=1e-12)
    assert loss.metrics["policy/reference_point"].value == 0.0


def moved(shift: float) -> Loss:
    """Loss of a policy whose mismatched log-ratios are `shift` on the average."""
    logps, batch = at_start(True, False)
    drift = batch.mismatched_reference + torch.tensor([shift + 3.0, shift - 3.0]).double()
    return KTO(beta=0.5)(Scores(logps=logps), batch, totals_of(KTO(), (batch, drift)))


def test_the_reference_point_is_clamped_after_averaging() -> None:
    # Clamped one by one, ratios of +2 and -4 would give 1 and not 0.
    below = moved(-1.0)
    assert below.metrics["policy/reference_point"].value == 0.0
    assert below.metrics["policy/reference_point_clamped"].value == 1.0
    assert below.value.item() == pytest.approx(0.5)
    above = moved(2.0)
    assert above.metrics["policy/reference_point"].value == pytest.approx(2.0)
    assert above.metrics["policy/reference_point_clamped"].value == 0.0
    # The two kinds see z0 from opposite sides: sigmoid(1) and sigmoid(-1) add to 1.
    assert above.value.item() == pytest.approx(0.5)


def test_the_reference_point_is_that_of_the_whole_step() -> None:
    logps, batch = at_start(True, False)
    drifts = batch.mismatched_reference + 4.0, batch.mismatched_reference - 1.0
    totals = totals_of(KTO(), (batch, drifts[0]), (batch, drifts[1]))
    parts = [KTO()(Scores(logps=logps), batch, totals) for _ in drifts]
    metrics = merge(part.metrics for part in parts)
    assert metrics["policy/reference_point"].value == pytest.approx(1.5)
    assert sum(part.value.item() for part in parts) == pytest.approx(0.5)


def test_weights_belong_to_kinds_and_the_mean_is_over_all() -> None:
    logps, batch = at_start(True, False, False)
    totals = totals_of(KTO(), (batch, batch.mismatched_reference))
    objective = KTO(desirable_weight=4.0, undesirable_weight=1.0)
    loss = objective(Scores(logps=logps), batch, totals)
    assert loss.value.item() == pytest.approx((2.0 + 0.5 + 0.5) / 3)


def test_gradient_raises_the_desirable_and_vanishes_far_away() -> None:
    logps, batch = at_start(True, False)
    totals = totals_of(KTO(), (batch, batch.mismatched_reference))
    leaf = logps.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(KTO()(Scores(logps=leaf), batch, totals).value, leaf)
    assert gradient.tolist() == pytest.approx([-0.1 / 8, 0.1 / 8])  # beta / 4, over two replies
    far = (logps + 1000).requires_grad_()
    (gradient,) = torch.autograd.grad(KTO()(Scores(logps=far), batch, totals).value, far)
    assert gradient.abs().max().item() < 1e-12
