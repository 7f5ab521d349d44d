import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairlead.data.batches import pack
from fairlead.data.chat import Item
from fairlead.objectives import DistillationBatch, Scores
from fairlead.objectives.self_trained_verification import SelfTrainedVerification, jensen_shannon

VOCABULARY = 5


def logs(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


def batch(teacher: torch.Tensor, advantages: torch.Tensor) -> DistillationBatch:
    items = [Item((0, 1), tuple((2,) * 1 for _ in range(len(teacher))))]
    return DistillationBatch(pack(items), teacher, advantages)


def test_divergence_by_hand():
    # m = (0.75, 0.25); KL(t|m) = 1 * log(4/3); KL(s|m) = 0.5 log(2/3) + 0.5 log 2
    teacher, student = logs(1 - 1e-12, 1e-12), logs(0.5, 0.5)
    expected = 0.5 * math.log(4 / 3) + 0.25 * (math.log(2 / 3) + math.log(2))
    value = jensen_shannon(teacher, student, mixing=0.5)
    assert value.item() == pytest.approx(expected, abs=1e-9)


def test_divergence_leans_to_the_side_of_the_mixing():
    teacher, student = logs(0.9, 0.1), logs(0.4, 0.6)
    m = [0.2 * 0.9 + 0.8 * 0.4, 0.2 * 0.1 + 0.8 * 0.6]
    kl_teacher = 0.9 * math.log(0.9 / m[0]) + 0.1 * math.log(0.1 / m[1])
    kl_student = 0.4 * math.log(0.4 / m[0]) + 0.6 * math.log(0.6 / m[1])
    value = jensen_shannon(teacher, student, mixing=0.2)
    assert value.item() == pytest.approx(0.2 * kl_teacher + 0.8 * kl_student, abs=1e-12)


@given(seed=st.integers(0, 10**6), mixing=st.floats(0.01, 0.99))
def test_divergence_is_bounded_and_symmetric_at_a_half(seed: int, mixing: float):
    random = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 3, VOCABULARY, generator=random, dtype=torch.float64).log_softmax(-1)
    value = jensen_shannon(a, b, mixing=mixing)
    entropy = -mixing * math.log(mixing) - (1 - mixing) * math.log(1 - mixing)
    assert (value >= -1e-12).all() and (value <= entropy + 1e-12).all()
    swapped = jensen_shannon(b, a, mixing=1 - mixing)
    torch.testing.assert_close(value, swapped, rtol=1e-9, atol=1e-12)


def test_no_distillation_loss_where_teacher_equals_student():
    torch.manual_seed(0)
    student = torch.randn(4, VOCABULARY, dtype=torch.float64).log_softmax(-1).requires_grad_()
    own = batch(student.detach(), torch.zeros(4, dtype=torch.float64))
    logps = student[:, 2]
    loss = SelfTrainedVerification()(Scores(logps=logps, distribution=student), own, own.totals())
    loss.value.backward()
    assert loss.value.item() == pytest.approx(0.0, abs=1e-12)
    assert student.grad is not None
    assert student.grad.abs().max().item() == pytest.approx(0.0, abs=1e-12)
    assert loss.metrics["policy/agreement_with_teacher"].value == 1.0


def test_both_parts_are_token_means_with_their_coefficients():
    teacher, student = logs(0.9, 0.1).repeat(2, 1), logs(0.4, 0.6).repeat(2, 1)
    logps = torch.tensor([-0.5, -1.0], dtype=torch.float64)
    own = batch(teacher, torch.tensor([2.0, -1.0], dtype=torch.float64))
    objective = SelfTrainedVerification(distillation_coefficient=3.0, verdict_coefficient=0.5)
    loss = objective(Scores(logps=logps, distribution=student), own, own.totals())
    divergence = jensen_shannon(teacher, student, mixing=0.5)[0].item()
    gradient_part = -(2.0 * -0.5 + -1.0 * -1.0) / 2
    assert loss.value.item() == pytest.approx(3 * divergence + 0.5 * gradient_part, abs=1e-12)
    assert loss.metrics["loss/verdict"].value == pytest.approx(gradient_part)
