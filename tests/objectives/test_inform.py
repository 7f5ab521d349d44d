import pytest
import torch
from batches import pairs

from fairlead.objectives import Scores
from fairlead.objectives.inform import InfoRM, dimension_kl


def test_reference_kl_is_exact_and_not_that_of_averages(reference_value) -> None:
    given, expected = reference_value("rm.inform_kl")
    kl = dimension_kl(given["mu"], given["logvar"]).sum(-1)
    torch.testing.assert_close(kl, expected["kl_per_sample"], rtol=1e-8, atol=1e-9)
    assert kl.mean().item() == pytest.approx(expected["kl_mean"], rel=1e-8)
    averaged = dimension_kl(given["mu"].mean(1)[:, None], given["logvar"].mean(1)[:, None])
    assert averaged.mean().item() == pytest.approx(expected["kl_average_then_kl_quirk"], rel=1e-8)


def test_kl_is_that_of_torch() -> None:
    mean, logvar = torch.linspace(-2, 2, 12).reshape(3, 4), torch.linspace(-1, 1, 12).reshape(3, 4)
    gaussian = torch.distributions.Normal(mean, torch.exp(logvar / 2))
    expected = torch.distributions.kl_divergence(gaussian, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(dimension_kl(mean, logvar), expected)


def test_worked_by_hand() -> None:
    # Equal scores: ln 2. Means (1, 0) and (0, 0), unit variances: KL 1/2 and 0. Weight 0.1.
    scores = Scores(
        rewards=torch.zeros(2, dtype=torch.float64),
        latent_mean=torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64),
        latent_logvar=torch.zeros(2, 2, dtype=torch.float64),
    )
    batch = pairs(1)
    loss = InfoRM(kl_coefficient=0.1)(scores, batch, batch.totals())
    assert loss.value.item() == pytest.approx(0.6931471806 + 0.05, rel=1e-9)
    assert loss.metrics["loss/latent_kl"].value == pytest.approx(0.25)
    assert loss.metrics["reward/active_dimensions"].value == 0.5  # one of four latents says much


def test_a_latent_at_the_prior_has_no_kl_gradient() -> None:
    mean, logvar = (torch.zeros(2, 3, requires_grad=True) for _ in range(2))
    batch = pairs(1)
    scores = Scores(rewards=torch.zeros(2), latent_mean=mean, latent_logvar=logvar)
    InfoRM(kl_coefficient=1.0)(scores, batch, batch.totals()).value.backward()
    assert mean.grad is not None and logvar.grad is not None
    assert mean.grad.count_nonzero() == 0 and logvar.grad.count_nonzero() == 0
