import math

import pytest
import torch
from batches import interleaved, pairs, ranked
from pydantic import ValidationError
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.data.batches import preference_batch
from fairlead.data.chat import Item
from fairlead.objectives import Scores
from fairlead.objectives.comparisons import bradley_terry_loss
from fairlead.objectives.dpo import DPO, dpo_loss


def values(metrics: dict[str, Mean]) -> dict[str, float]:
    return {name: mean.value for name, mean in metrics.items()}


def published(reference_value) -> tuple[dict, dict, Tensor, Tensor]:
    given, expected = reference_value("pref.dpo")
    logps = interleaved(given["policy_chosen"], given["policy_rejected"])
    reference = interleaved(given["ref_chosen"], given["ref_rejected"])
    return given, expected, logps, reference


def test_reference_losses(reference_value) -> None:
    given, expected, logps, reference = published(reference_value)
    settings, name = {"beta": given["beta"]}, "sigmoid"
    ratio = logps - reference
    per_pair = dpo_loss(ratio[0::2] - ratio[1::2], **settings)
    torch.testing.assert_close(per_pair, expected[name]["per_pair"], rtol=1e-8, atol=1e-9)
    batch = pairs(3, reference)
    loss = DPO(**settings)(Scores(logps=logps), batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected[name]["mean"], rel=1e-8)


def test_reference_metrics(reference_value) -> None:
    given, expected, logps, reference = published(reference_value)
    batch = pairs(3, reference)
    metrics = values(DPO(beta=given["beta"])(Scores(logps=logps), batch, batch.totals()).metrics)
    close = {"rel": 1e-8, "abs": 1e-9}
    assert metrics["reward/chosen"] == pytest.approx(
        expected["reward_chosen"].mean().item(), **close
    )
    assert metrics["reward/rejected"] == pytest.approx(
        expected["reward_rejected"].mean().item(), **close
    )
    assert metrics["reward/accuracy"] == expected["reward_accuracy"]
    assert metrics["reward/margin"] == pytest.approx(expected["reward_margin"], **close)
    assert metrics["policy/logp_chosen"] == pytest.approx(
        given["policy_chosen"].mean().item(), **close
    )


def test_reference_gradient(reference_value) -> None:
    given, expected, logps, reference = published(reference_value)
    logps.requires_grad_()
    batch = pairs(3, reference)
    DPO(beta=given["beta"])(Scores(logps=logps), batch, batch.totals()).value.backward()
    assert logps.grad is not None
    weight = expected["gradient_weight"] / 3  # the loss is a mean over three pairs
    torch.testing.assert_close(-logps.grad[0::2], weight, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(logps.grad[1::2], weight, rtol=1e-8, atol=1e-9)


def test_worked_by_hand_over_several_tokens() -> None:
    # Chosen: (-1 - 2) - (-4) = 1 over the reference; rejected: (-3) - (-2) = -1. Margin 2,
    # beta 1/2: -ln sigmoid(1) = 0.313262.
    items = [Item((1,), ((2, 3), (4,)), (0, 1))]
    batch = preference_batch(items, reference=lambda _: (-4.0, -2.0))
    logps = torch.tensor([-1.0, -2.0, -3.0])
    loss = DPO(beta=0.5)(Scores(logps=logps), batch, batch.totals())
    assert loss.value.item() == pytest.approx(0.3132617, rel=1e-6)
    assert values(loss.metrics)["reward/margin"] == pytest.approx(1.0)
    assert values(loss.metrics)["policy/log_ratio_abs"] == pytest.approx(1.0)


@pytest.mark.parametrize("beta", [1e-3, 0.1, 5.0])
def test_loss_at_the_reference_is_ln_2(beta: float) -> None:
    reference = torch.linspace(-80, -10, 8, dtype=torch.float64)
    batch = pairs(4, reference)
    objective = DPO(beta=beta)
    loss = objective(Scores(logps=reference.clone()), batch, batch.totals())
    assert loss.value.item() == pytest.approx(math.log(2), rel=1e-12)
    assert values(loss.metrics)["reward/accuracy"] == 0.0


def test_loss_tends_to_ln_2_as_beta_vanishes() -> None:
    assert dpo_loss(torch.tensor([37.0]), beta=1e-9).item() == pytest.approx(math.log(2))


def test_it_is_bradley_terry_on_implicit_rewards() -> None:
    margin = torch.linspace(-9, 9, 7, dtype=torch.float64)
    torch.testing.assert_close(dpo_loss(margin, beta=0.4), bradley_terry_loss(0.4 * margin))


def test_a_ranking_counts_once_however_long() -> None:
    ranks = ((0, 1), (0, 1, 2, 3))
    logps = torch.linspace(-5, -1, 6, dtype=torch.float64)
    reference = torch.linspace(-2, -3, 6, dtype=torch.float64)
    ratio = logps - reference

    def mean_over_pairs(ratios: Tensor) -> float:
        i, j = torch.triu_indices(len(ratios), len(ratios), 1)
        return dpo_loss(ratios[i] - ratios[j], beta=0.1).mean().item()

    batch = ranked(*ranks, reference=reference)
    loss = DPO()(Scores(logps=logps), batch, batch.totals())
    expected = (mean_over_pairs(ratio[:2]) + mean_over_pairs(ratio[2:])) / 2
    assert loss.value.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("settings", [{"beta": 0.0}, {"beta": -1}, {"label_smoothing": 0.1}])
def test_senseless_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DPO.model_validate(settings)
