import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairlead.functional.kl import adaptive_kl_coefficient, k1, k2, k3, weighted_k3
from fairlead.functional.reductions import masked_mean

ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_reference_values(reference_value, name: str) -> None:
    given, expected = reference_value("rl.kl_estimators")
    mask = given["mask"].bool()
    values = ESTIMATORS[name](given["logp"], given["ref_logp"])
    masked = torch.where(mask, values, 0.0)
    torch.testing.assert_close(masked, expected[name], rtol=1e-8, atol=1e-9)
    mean = masked_mean(values, mask).item()
    assert mean == pytest.approx(expected[f"mean_{name}"], rel=1e-8)
    if name == "k1":
        torch.testing.assert_close(masked.sum(1), expected["seq_sum_k1"], rtol=1e-8, atol=1e-9)
        assert masked.sum(1).mean().item() == pytest.approx(expected["mean_seq_kl"], rel=1e-8)


def test_expectations_and_gradients_over_a_whole_distribution(reference_value) -> None:
    given, expected = reference_value("rl.kl_gradients")
    logits = given["logits"].requires_grad_()
    logp, ref_logp = logits.log_softmax(0), given["ref_logits"].log_softmax(0)
    p = logp.detach().exp()
    for name, estimator in ESTIMATORS.items():
        loss = (p * estimator(logp, ref_logp)).sum()
        assert loss.item() == pytest.approx(expected[f"expected_{name}"], rel=1e-8)
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        wanted = expected[f"expected_grad_{name}_as_loss"]
        torch.testing.assert_close(gradient, wanted, rtol=1e-8, atol=1e-9)


def test_worked_by_hand() -> None:
    logp, ref_logp = torch.tensor([[0.5], [0.25]], dtype=torch.float64).log()
    # Log-ratio ln 2 = 0.693147; half its square 0.240227; 1/2 - 1 + ln 2 = 0.193147.
    assert k1(logp, ref_logp).item() == pytest.approx(0.6931471806, rel=1e-9)
    assert k2(logp, ref_logp).item() == pytest.approx(0.2402265070, rel=1e-9)
    assert k3(logp, ref_logp).item() == pytest.approx(0.1931471806, rel=1e-9)


@given(d=st.floats(-40, 40))
def test_k3_is_never_negative_and_k1_is_odd(d: float) -> None:
    logp, zero = torch.tensor([d]), torch.tensor([0.0])
    assert k3(logp, zero).item() >= 0
    assert k2(logp, zero).item() == k2(zero, logp).item() >= 0
    assert k1(logp, zero).item() == -k1(zero, logp).item()


def test_k3_keeps_its_accuracy_where_policies_nearly_agree() -> None:
    # d^2 / 2 = 5e-9 at d = 1e-4: exp(-d) - 1 + d in float32 would lose it in rounding.
    d = torch.tensor([1e-4])
    assert k3(d, torch.zeros(1)).item() == pytest.approx(5e-9, rel=2e-3)


def test_coefficient_follows_the_reference_values(reference_value) -> None:
    given, expected = reference_value("rl.adaptive_kl")
    coefficient, path = given["init"], []
    for observed in given["observed_kl"].tolist():
        coefficient = adaptive_kl_coefficient(
            coefficient,
            observed,
            target=given["target"],
            episodes=given["n_steps"],
            horizon=given["horizon"],
        )
        path.append(coefficient)
    assert path == pytest.approx(expected["coef"].tolist(), rel=1e-8)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (6.0, 0.1),  # on target: stays
        (6.6, 0.1 * (1 + 0.1 * 0.5)),  # 10 % over, half a horizon of episodes
        (60.0, 0.1 * (1 + 0.2 * 0.5)),  # far over: the error is clipped at 20 %
        (0.0, 0.1 * (1 - 0.2 * 0.5)),
    ],
)
def test_coefficient_worked_by_hand(observed: float, expected: float) -> None:
    got = adaptive_kl_coefficient(0.1, observed, target=6.0, episodes=50, horizon=100)
    assert got == pytest.approx(expected, rel=1e-12)


def test_weighted_k3_is_the_ratio_times_k3() -> None:
    logp, ref_logp, old_logp = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    ratio = torch.exp(logp - old_logp)
    got = weighted_k3(logp.double(), ref_logp.double(), old_logp.double())
    torch.testing.assert_close(got.float(), ratio * k3(logp, ref_logp), rtol=1e-4, atol=1e-5)


def test_the_ratio_gives_k3_the_gradient_of_the_right_kl(reference_value) -> None:
    given, expected = reference_value("rl.kl_gradients")
    logits = given["logits"].requires_grad_()
    logp, ref_logp = logits.log_softmax(0), given["ref_logits"].log_softmax(0)
    for sampler in (logp.detach(), torch.tensor([0.1, 0.2, 0.3, 0.4]).double().log()):
        loss = (sampler.exp() * weighted_k3(logp, ref_logp, sampler)).sum()
        assert loss.item() == pytest.approx(expected["kl_reverse"], rel=1e-8)
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        wanted = expected["grad_true_reverse_kl"]
        torch.testing.assert_close(gradient, wanted, rtol=1e-8, atol=1e-9)


def test_k1_in_the_reward_gives_the_gradient_of_the_right_kl(reference_value) -> None:
    """The penalty of every credit rule: the policy gradient of a reward of -k1."""
    given, expected = reference_value("rl.kl_gradients")
    logits = given["logits"].requires_grad_()
    logp, ref_logp = logits.log_softmax(0), given["ref_logits"].log_softmax(0)
    p = logp.detach().exp()
    loss = (p * k1(logp, ref_logp).detach() * logp).sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, expected["grad_true_reverse_kl"], rtol=1e-8, atol=1e-9)


def test_weighted_k3_stays_finite_where_the_policy_has_left_the_token() -> None:
    gone = torch.tensor([-200.0], requires_grad=True)
    value = weighted_k3(gone, torch.tensor([-1.0]), torch.tensor([-1.5]))
    (gradient,) = torch.autograd.grad(value, gone)
    assert value.item() == pytest.approx(1.6487, rel=1e-4) and gradient.isfinite()
