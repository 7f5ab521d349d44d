import torch
from reply_batches import (
    CLOSE,
    EXACT,
    gradient_of,
    loss_of,
    masked,
    metrics_of,
    normal,
    reply_batch,
)

from fairlead.objectives.ppo import PPO
from fairlead.objectives.reinforce_pp import ReinforcePP


def test_reference_loss_per_token(reference_value) -> None:
    given, expected = reference_value("rl.ppo_policy")
    new, old, advantages = (
        masked(given[n], given["mask"]) for n in ("logp_new", "logp_old", "advantages")
    )
    loss = loss_of(ReinforcePP(), new, reply_batch([5, 3], old_logps=old, advantages=advantages))
    torch.testing.assert_close(loss.value, torch.tensor(expected["loss_token_mean"]).double())
    assert metrics_of(loss)["policy/clip_fraction"] == expected["clipfrac"]


def test_is_ppo_without_a_critic() -> None:
    logps, old = normal(1, 7), normal(1, 7) + normal(2, 7, scale=0.2)
    batch = reply_batch([4, 3], old_logps=old, advantages=normal(3, 7))
    one = loss_of(ReinforcePP(), logps, batch).value
    torch.testing.assert_close(one, loss_of(PPO(), logps, batch).value, **CLOSE)


def test_before_the_first_update_it_is_reinforce_over_tokens() -> None:
    logps, advantages = normal(4, 5), normal(5, 5)
    batch = reply_batch([4, 1], old_logps=logps, advantages=advantages)
    torch.testing.assert_close(gradient_of(ReinforcePP(), logps, batch), -advantages / 5, **EXACT)
