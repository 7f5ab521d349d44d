import pytest
import torch
from batches import of_lengths

from fairlead.objectives import Scores, StepBatch
from fairlead.objectives.process_reward import ProcessReward


def fitted(logits: torch.Tensor, labels: torch.Tensor):
    batch = StepBatch(of_lengths(len(logits)).packed, labels)
    return ProcessReward()(Scores(steps=logits), batch, batch.totals())


def test_reference_value(reference_value) -> None:
    given, expected = reference_value("rm.prm")
    loss = fitted(given["bce_logits"], given["bce_labels"])
    assert loss.value.item() == pytest.approx(expected["bce"], rel=1e-8)


def test_soft_labels_are_fitted_where_the_probability_equals_them() -> None:
    labels = torch.tensor([0.75, 0.2, 1.0]).double()
    logits = torch.logit(labels.clamp(1e-3, 1 - 1e-3)).requires_grad_()
    fitted(logits, labels).value.backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == pytest.approx([0.0, 0.0, -1e-3 / 3], abs=1e-12)


def test_metrics_count_the_wrong_steps_apart() -> None:
    loss = fitted(torch.tensor([2.0, -1.0, 1.0, 3.0]), torch.tensor([1.0, 0.0, 0.0, 1.0]))
    metrics = {name: mean.value for name, mean in loss.metrics.items()}
    assert metrics["reward/step_accuracy"] == 0.75
    assert metrics["reward/error_recall"] == 0.5
    assert metrics["reward/error_share"] == 0.5
