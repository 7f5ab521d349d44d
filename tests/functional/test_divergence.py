"""Exact KL over the vocabulary."""

import pytest
import torch

from fairlead.functional.divergence import exact_kl, same_top


def test_by_hand_and_by_torch():
    p = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    q = torch.tensor([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]])
    found = exact_kl(p.log(), q.log())
    # 0.5 ln 2 - 0.25 ln 2, and ln 2: what is never said adds nothing.
    assert found.tolist() == pytest.approx([0.25 * 0.693147, 0.693147], rel=1e-5)
    logits, others = torch.randn(2, 5, 40, generator=torch.Generator().manual_seed(0))
    one, other = logits.log_softmax(-1), others.log_softmax(-1)
    library = torch.nn.functional.kl_div(other, one, log_target=True, reduction="none").sum(-1)
    assert torch.allclose(exact_kl(one, other), library, atol=1e-6)
    assert exact_kl(one, one).tolist() == [0.0] * 5


def test_impossible_under_the_reference():
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    assert exact_kl(p.log(), q.log()).item() == float("inf")


def test_same_top():
    p = torch.tensor([[0.1, 0.9], [0.6, 0.4]]).log()
    q = torch.tensor([[0.2, 0.8], [0.3, 0.7]]).log()
    assert same_top(p, q).tolist() == [True, False]
