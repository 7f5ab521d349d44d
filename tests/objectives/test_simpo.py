import pytest
import torch
from pair_batches import Given, assert_published, pairs_of

from fairlead.objectives import Need
from fairlead.objectives.simpo import SimPO


def published(reference_value) -> tuple[dict, dict, Given]:
    given, expected = reference_value("pref.simpo")
    lengths = given["len_chosen"].int().tolist(), given["len_rejected"].int().tolist()
    made = pairs_of(given["sum_logp_chosen"], given["sum_logp_rejected"], lengths=lengths)
    return given, expected, made


def test_reference_losses(reference_value) -> None:
    given, expected, made = published(reference_value)
    objective = SimPO(beta=given["beta"], gamma=given["gamma"])
    assert_published(objective, made, expected["per_pair"])


def test_reference_rewards_are_beta_times_the_means(reference_value) -> None:
    _, expected, made = published(reference_value)
    metrics = SimPO(beta=2.0)(made.scores(), made.batch, made.batch.totals()).metrics
    chosen, rejected = expected["avg_chosen"].mean(), expected["avg_rejected"].mean()
    assert metrics["reward/chosen"].value == pytest.approx(2 * chosen.item(), rel=1e-8)
    assert metrics["reward/margin"].value == pytest.approx(2 * (chosen - rejected).item(), rel=1e-8)


def test_gamma_is_no_ratio_to_beta() -> None:
    # Equal means: the loss is log(1 + exp(gamma)) whatever beta is.
    given = pairs_of(torch.tensor([-6.0]), torch.tensor([-3.0]), lengths=([4], [2]))
    for beta in (2.0, 10.0):
        loss = SimPO(beta=beta, gamma=1.0)(given.scores(), given.batch, given.batch.totals())
        assert loss.value.item() == pytest.approx(1.3132617, rel=1e-6)


def test_it_asks_for_no_reference_and_takes_none() -> None:
    chosen, rejected = torch.tensor([-6.0]), torch.tensor([-7.0])
    bare = pairs_of(chosen, rejected)
    other = pairs_of(chosen, rejected, reference=torch.tensor([-1.0, -30.0]))
    assert SimPO.needs == {Need.LOGPS}
    both = [SimPO()(g.scores(), g.batch, g.batch.totals()) for g in (bare, other)]
    assert both[0].value.item() == both[1].value.item()
    assert both[0].metrics.keys() == both[1].metrics.keys()
    assert "policy/log_ratio_abs" not in both[0].metrics
