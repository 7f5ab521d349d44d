import pytest
import torch
from reply_batches import EXACT, gradient_of, loss_of, metrics_of, normal, reply_batch
from torch import Tensor

from fairlead.objectives import RolloutBatch
from fairlead.objectives.ppo import PPO
from fairlead.objectives.ppo_lagrangian import PPOLagrangian
from fairlead.training.credit import GAE, ConstrainedGAE, Sampled


def example() -> tuple[Tensor, RolloutBatch]:
    names = ("old_logps", "advantages", "returns", "old_values")
    given = {name: normal(i, 5) for i, name in enumerate(names)}
    costs = {"cost_returns": normal(7, 5), "old_cost_values": normal(8, 5)}
    batch = reply_batch([2, 3], **given, **costs)
    return batch.old_logps + normal(9, 5, scale=0.3), batch


def test_policy_and_value_losses_are_those_of_ppo() -> None:
    logps, batch = example()
    values, cost_values = normal(10, 5), normal(11, 5)
    plain = PPO(value_clip=5.0)
    safe = PPOLagrangian(cost_value_coefficient=0.0)
    heads = {"values": values, "cost_values": cost_values}
    one, other = loss_of(safe, logps, batch, **heads), loss_of(plain, logps, batch, **heads)
    torch.testing.assert_close(one.value, other.value, **EXACT)
    gradients = [gradient_of(o, logps, batch, **heads) for o in (safe, plain)]
    torch.testing.assert_close(*gradients, **EXACT)
    assert metrics_of(other).items() <= metrics_of(one).items()


def test_the_cost_critic_learns_the_cost() -> None:
    # Within the clip: half the squared error, here (1 - 3)^2 / 2 = 2, weighted by 0.5.
    batch = reply_batch(
        [1],
        cost_returns=torch.tensor([3.0]).double(),
        old_cost_values=torch.tensor([1.0]).double(),
    )
    cost_values = torch.tensor([1.0]).double()
    objective = PPOLagrangian(cost_value_coefficient=0.5)
    loss = loss_of(objective, torch.zeros(1).double(), batch, cost_values=cost_values)
    assert loss.value.item() == pytest.approx(1.0)
    metrics = metrics_of(loss)
    assert metrics["loss/cost_value"] == pytest.approx(2.0)
    assert metrics["value/cost_return"] == 3.0 and metrics["value/cost_mean"] == 1.0


def test_at_multiplier_0_its_credit_is_that_of_the_reward() -> None:
    mask = torch.arange(4) < torch.tensor([[4], [2]])
    sampled = Sampled(
        scores=normal(0, 2),
        mask=mask,
        logp=normal(1, 2, 4),
        reference=normal(2, 2, 4),
        values=normal(3, 2, 4),
        token_rewards=torch.zeros(2, 4).double(),
        group=torch.tensor([0, 1]),
        tokens=torch.zeros(2, 4).long(),
        cost_values=normal(4, 2, 4),
        costs=normal(5, 2),
        kl_coefficient=0.1,
        multiplier=0.0,
    )
    safe, plain = ConstrainedGAE()(sampled), GAE()(sampled)
    torch.testing.assert_close(safe.advantages, plain.advantages, **EXACT)
    torch.testing.assert_close(safe.returns, plain.returns, **EXACT)
