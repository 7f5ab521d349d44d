import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from reply_batches import CLOSE, EXACT, gradient_of, loss_of, metrics_of, normal, reply_batch

from fairlead.objectives.macro_ppo import MacroPPO
from fairlead.objectives.ppo import PPO


def test_reference_loss(reference_value) -> None:
    given, expected = reference_value("rl.macro_action")
    macros = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
    batch = reply_batch(
        [8],
        old_logps=given["logp_old"],
        advantages=expected["macro_advantages"][macros],
        macros=macros,
    )
    loss = loss_of(MacroPPO(value_coefficient=0.0), given["logp_new"], batch)
    assert loss.value.item() == pytest.approx(expected["macro_ratio_loss"], rel=1e-8)
    assert metrics_of(loss)["policy/macro_length"] == pytest.approx(8 / 3)


@drawn(seed=st.integers(0, 999), lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_macros_of_one_token_are_ppo(seed: int, lengths: list[int]) -> None:
    rows = sum(lengths)
    old, advantages, returns, old_values, values = (normal(seed + i, rows) for i in range(5))
    batch = reply_batch(
        lengths,
        old_logps=old,
        advantages=advantages,
        returns=returns,
        old_values=old_values,
        macros=torch.arange(rows),
    )
    logps = old + normal(seed + 9, rows, scale=0.3)
    one, other = (loss_of(o, logps, batch, values=values) for o in (MacroPPO(), PPO()))
    torch.testing.assert_close(one.value, other.value, **EXACT)
    gradients = [gradient_of(o, logps, batch, values=values) for o in (MacroPPO(), PPO())]
    torch.testing.assert_close(*gradients, **EXACT)
    for name, value in metrics_of(other).items():
        assert metrics_of(one)[name] == pytest.approx(value), name


def test_token_ratio_form_of_the_reference_is_ppo_with_macro_advantages(reference_value) -> None:
    given, expected = reference_value("rl.macro_action")
    advantages = expected["macro_advantages"][torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])]
    batch = reply_batch([8], old_logps=given["logp_old"], advantages=advantages)
    loss = loss_of(PPO(value_coefficient=0.0), given["logp_new"], batch)
    assert loss.value.item() == pytest.approx(expected["token_ratio_loss"], rel=1e-8)


def test_a_macro_counts_once_however_long() -> None:
    macros = torch.tensor([0, 0, 0, 1])
    batch = reply_batch([4], advantages=[1.0, 1.0, 1.0, -1.0], macros=macros)
    gradient = gradient_of(MacroPPO(), torch.zeros(4).double(), batch)
    torch.testing.assert_close(gradient, torch.tensor([-0.5, -0.5, -0.5, 0.5]).double(), **CLOSE)
