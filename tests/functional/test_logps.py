import math

import pytest
import torch
from torch import Tensor

from fairlead.functional import logps
from fairlead.functional.logps import linear_token_logps, token_logps


@pytest.fixture(params=[1, 1 << 22], ids=["chunks of 64 rows", "one chunk"])
def chunked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logps, "CHUNK_ELEMENTS", request.param)


def case(rows: int, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, weights of 37 tokens, and targets."""
    random = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, 12, generator=random, dtype=torch.float64).to(dtype)
    weight = torch.randn(37, 12, generator=random, dtype=torch.float64).to(dtype)
    return hidden, weight, torch.randint(0, 37, (rows,), generator=random)


def plain(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> Tensor:
    return (hidden @ weight.T / temperature).log_softmax(-1).gather(1, targets[:, None])[:, 0]


@pytest.mark.usefixtures("chunked")
@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 128, 150])
@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_equal_log_softmax(
    rows: int, temperature: float, dtype: torch.dtype
) -> None:
    hidden, weight, targets = case(rows, dtype)
    upstream = torch.linspace(-2, 3, rows, dtype=dtype)
    tolerance = (
        {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-4}
    )
    results: list[tuple[Tensor, Tensor, Tensor]] = []
    for function in (
        plain,
        lambda h, w, t, temperature: linear_token_logps(h, w, t, temperature=temperature)[0],
    ):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        values = function(h, w, targets, temperature)
        values.backward(upstream)
        assert h.grad is not None and w.grad is not None
        results.append((values.detach(), h.grad, w.grad))
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, **tolerance)


@pytest.mark.usefixtures("chunked")
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_entropy_is_that_of_the_distribution_and_carries_no_gradient(temperature: float) -> None:
    hidden, weight, targets = case(100, torch.float64)
    expected = torch.distributions.Categorical(logits=hidden @ weight.T / temperature).entropy()
    hidden.requires_grad_()
    for function, first in ((linear_token_logps, hidden), (token_logps, hidden @ weight.T)):
        given = (first, weight, targets) if function is linear_token_logps else (first, targets)
        _, entropy = function(*given, temperature=temperature)  # pyright: ignore
        torch.testing.assert_close(entropy, expected, rtol=1e-10, atol=1e-10)
        assert not entropy.requires_grad


def test_entropy_is_zero_where_it_is_not_asked_for() -> None:
    hidden, weight, targets = case(5, torch.float32)
    assert linear_token_logps(hidden, weight, targets, entropy=False)[1].tolist() == [0.0] * 5


def test_worked_by_hand() -> None:
    # Logits (ln 1, ln 3): probabilities 1/4 and 3/4; squared at temperature 1/2: 1/10 and 9/10.
    hidden = torch.ones(1, 1, dtype=torch.float64)
    weight = torch.tensor([[1.0], [3.0]], dtype=torch.float64).log()
    for temperature, probability in ((1.0, 0.75), (0.5, 0.9)):
        logp, entropy = linear_token_logps(
            hidden, weight, torch.tensor([1]), temperature=temperature
        )
        assert logp.exp().item() == pytest.approx(probability, rel=1e-12)
        expected = -sum(p * math.log(p) for p in (probability, 1 - probability))
        assert entropy.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("rows", "temperature"), [(1, 1.0), (3, 0.4), (5, 2.0)])
def test_gradient_agrees_with_finite_differences(rows: int, temperature: float) -> None:
    hidden, weight, targets = case(rows, torch.float64)
    leaves = hidden.requires_grad_(), weight.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda h, w: linear_token_logps(h, w, targets, temperature=temperature)[0], leaves
    )


def test_no_gradient_is_made_for_a_frozen_head() -> None:
    hidden, weight, targets = case(70, torch.float64)
    linear_token_logps(hidden.requires_grad_(), weight, targets)[0].sum().backward()
    mine = hidden.grad
    other = hidden.detach().requires_grad_()
    plain(other, weight, targets, 1.0).sum().backward()
    torch.testing.assert_close(mine, other.grad, rtol=1e-10, atol=1e-10)
    assert weight.grad is None


def test_huge_logits_stay_finite() -> None:
    hidden, weight, targets = case(20, torch.float32)
    hidden = (hidden * 1e4).requires_grad_()
    values, entropy = linear_token_logps(hidden, weight, targets)
    values.sum().backward()
    assert hidden.grad is not None and torch.isfinite(hidden.grad).all()
    assert torch.isfinite(values).all() and torch.isfinite(entropy).all()
    assert (values <= 0).all()


def test_half_precision_is_summed_in_single() -> None:
    hidden, weight, targets = case(200, torch.bfloat16)
    values, _ = linear_token_logps(hidden, weight, targets)
    assert values.dtype == torch.float32
    # The logits themselves are rounded to 8 bits; log-probabilities inherit no more than that.
    expected = plain(hidden.float(), weight.float(), targets, 1.0)
    bound = 2**-8 * (hidden.float() @ weight.float().T).abs().amax(1)
    assert ((values - expected).abs() <= bound).all()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logits_that_are_there_give_the_same(temperature: float) -> None:
    hidden, weight, targets = case(30, torch.float64)
    one = linear_token_logps(hidden, weight, targets, temperature=temperature)
    other = token_logps(hidden @ weight.T, targets, temperature=temperature)
    for mine, yours in zip(one, other, strict=True):
        torch.testing.assert_close(mine, yours, rtol=1e-10, atol=1e-10)


def test_reference_values(reference_value) -> None:
    given, expected = reference_value("sft.nll")
    logits, labels = given["logits"].flatten(0, 1), given["labels"].long().flatten()
    mask = given["mask"].bool().flatten()
    for values, _ in (
        token_logps(logits, labels),
        linear_token_logps(logits, torch.eye(4, dtype=torch.float64), labels),
    ):
        got = torch.where(mask, values, 0.0).view(2, 3)
        torch.testing.assert_close(got, expected["token_logps"], rtol=1e-8, atol=1e-9)
