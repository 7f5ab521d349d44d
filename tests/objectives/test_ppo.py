from typing import Any

import pytest
import torch
from batches import rollouts
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives import RolloutBatch, Scores
from fairlead.objectives.critic import ppo_value_loss
from fairlead.objectives.ppo import PPO, ppo_policy_loss

CLOSE: dict[str, float] = {"rtol": 1e-8, "atol": 1e-9}


def values(metrics: dict[str, Mean]) -> dict[str, float]:
    return {name: mean.value for name, mean in metrics.items()}


def double(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def scores(logps: Tensor, state_values: Tensor | None = None) -> Scores:
    zeros = torch.zeros_like(logps)
    return Scores(
        logps=logps, entropy=zeros, values=zeros if state_values is None else state_values
    )


def published(reference_value, name: str) -> tuple[dict[str, Any], dict[str, Any], Tensor]:
    given, expected = reference_value(name)
    mask = given["mask"].bool()
    flat = {k: x[mask] if isinstance(x, Tensor) else x for k, x in given.items()}
    return flat, expected, mask


def test_reference_policy_loss(reference_value) -> None:
    given, expected, mask = published(reference_value, "rl.ppo_policy")
    new, old, advantages = given["logp_new"], given["logp_old"], given["advantages"]
    per_token = ppo_policy_loss(new, old, advantages, clip_low=0.2, clip_high=0.2).loss
    torch.testing.assert_close(per_token, expected["per_token_loss"][mask], **CLOSE)
    batch = rollouts(len(new), old_logps=old, advantages=advantages)
    loss = PPO(value_coefficient=0.0)(scores(new), batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected["loss_token_mean"], rel=1e-8)
    metrics = values(loss.metrics)
    for name, key in (
        ("loss/policy", "loss_token_mean"),
        ("policy/clip_fraction", "clipfrac"),
        ("policy/kl_old_k2", "approx_kl_k2"),
        ("policy/kl_old_k3", "approx_kl_k3"),
        ("policy/ratio", "mean_ratio"),
    ):
        assert metrics[name] == pytest.approx(expected[key], rel=1e-8), name


def test_reference_value_loss(reference_value) -> None:
    given, expected, _ = published(reference_value, "rl.ppo_value")
    new, old, returns = given["values_new"], given["values_old"], given["returns"]
    zeros = torch.zeros_like(new)
    batch = rollouts(len(new), old_values=old, returns=returns)
    loss = PPO(value_clip=given["clip"], value_coefficient=1.0)(
        scores(zeros, new), batch, batch.totals()
    )
    assert loss.value.item() == pytest.approx(expected["loss"], rel=1e-8)
    metrics = values(loss.metrics)
    assert metrics["loss/value"] == pytest.approx(expected["loss"], rel=1e-8)
    assert metrics["value/clip_fraction"] == expected["clipfrac"]
    # The unclipped loss is half the squared error.
    assert metrics["value/error_squared"] / 2 == pytest.approx(expected["loss_unclipped"], rel=1e-8)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),  # no change yet: -A, and its gradient -A
        (1.5, 2.0, -2.4, 0.0),  # good and already raised: held at 1.2 * 2
        (0.5, 2.0, -1.0, -1.0),  # good but lowered: full pull back
        (0.5, -2.0, 1.6, 0.0),  # bad and already lowered: held at 0.8 * 2
        (1.5, -2.0, 3.0, 3.0),  # bad but raised: full push down
    ],
)
def test_policy_clip_worked_by_hand(
    ratio: float, advantage: float, loss: float, slope: float
) -> None:
    logps = double(ratio).log().requires_grad_()
    result = ppo_policy_loss(logps, double(0.0), double(advantage), clip_low=0.2, clip_high=0.2)
    (gradient,) = torch.autograd.grad(result.loss, logps)
    assert result.loss.item() == pytest.approx(loss, rel=1e-12)
    assert gradient.item() == pytest.approx(slope, rel=1e-12)
    assert result.clipped.tolist() == [slope == 0.0]


@pytest.mark.parametrize(
    ("value", "loss", "slope"),
    [
        (1.1, 0.405, -0.9),  # within the clip: (1.1 - 2)^2 / 2
        (1.5, 0.32, 0.0),  # moved too far: as if at 1.2, (1.2 - 2)^2 / 2
        (0.0, 2.0, -2.0),  # moved the wrong way: the free error is worse
    ],
)
def test_value_clip_worked_by_hand(value: float, loss: float, slope: float) -> None:
    new = double(value).requires_grad_()
    result = ppo_value_loss(new, double(1.0), double(2.0), clip=0.2)
    (gradient,) = torch.autograd.grad(result.loss, new)
    assert result.loss.item() == pytest.approx(loss, rel=1e-12)
    assert gradient.item() == pytest.approx(slope, rel=1e-12, abs=1e-12)
    assert result.clipped.tolist() == [slope == 0.0]


def test_clip_may_be_wider_above_than_below() -> None:
    loss, _ = ppo_policy_loss(
        double(2.0, 0.1).log(), double(0.0, 0.0), double(1.0, -1.0), clip_low=0.1, clip_high=0.5
    )
    assert loss.tolist() == pytest.approx([-1.5, 0.9])


def test_before_the_first_update_the_gradient_is_the_policy_gradient() -> None:
    logits = torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3).requires_grad_()
    taken, advantages = torch.tensor([0, 2, 1, 2]), double(0.5, -1.0, 2.0, 0.3)
    logps = logits.log_softmax(1).gather(1, taken[:, None]).squeeze(1)
    batch = rollouts(4, old_logps=logps.detach(), advantages=advantages)
    loss = PPO()(scores(logps), batch, batch.totals())
    (gradient,) = torch.autograd.grad(loss.value, logits, retain_graph=True)
    (reinforce,) = torch.autograd.grad(-(advantages * logps).mean(), logits)
    torch.testing.assert_close(gradient, reinforce, rtol=1e-12, atol=1e-14)
    assert values(loss.metrics)["policy/clip_fraction"] == 0.0


@drawn(rows=st.lists(st.tuples(*[st.floats(-3, 3)] * 6, st.booleans()), min_size=1, max_size=8))
def test_equals_a_loop_over_tokens(rows: list[tuple[Any, ...]]) -> None:
    # new log-prob, old one, advantage, new value, old one, return, pretraining
    columns = [double(*column) for column in list(zip(*rows, strict=True))[:6]]
    new, old, advantages, state_values, old_values, returns = columns
    reply = [row for row in rows if not row[6]]
    if not reply:
        return
    objective = PPO(clip_low=0.1, clip_high=0.3, value_clip=0.5, value_coefficient=0.7)

    def policy_term(n: float, o: float, a: float) -> float:
        ratio = torch.tensor(n - o).double().exp().item()
        return max(-a * ratio, -a * min(max(ratio, 0.9), 1.3))

    def value_term(v: float, o: float, r: float) -> float:
        bounded = o + min(max(v - o, -0.5), 0.5)
        return 0.5 * max((v - r) ** 2, (bounded - r) ** 2)

    expected = sum(policy_term(*row[:3]) + 0.7 * value_term(*row[3:6]) for row in reply)
    expected /= len(reply)
    mixed_in = [row[0] for row in rows if row[6]]
    if mixed_in:
        expected -= 27.8 * sum(mixed_in) / len(mixed_in)
    batch = rollouts(
        len(rows),
        pretraining=[i for i, row in enumerate(rows) if row[6]],
        old_logps=old,
        advantages=advantages,
        old_values=old_values,
        returns=returns,
    )
    loss = objective(scores(new, state_values), batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


def mixed() -> tuple[Tensor, RolloutBatch]:
    logps = double(-1.0, -2.0, -4.0).requires_grad_()
    batch = rollouts(3, pretraining=[1, 2], old_logps=[-1.0, 0.0, 0.0], advantages=[3.0, 0.0, 0.0])
    return logps, batch


def test_pretraining_text_adds_its_mean_likelihood() -> None:
    # Policy term -3 on the one reply token; nll of the text (2 + 4) / 2 = 3, weighted by 2.
    logps, batch = mixed()
    assert (batch.totals().rows, batch.totals().pretraining_rows) == (1, 2)
    loss = PPO(pretraining_coefficient=2.0)(scores(logps), batch, batch.totals())
    assert loss.value.item() == pytest.approx(-3 + 2 * 3)
    assert values(loss.metrics)["loss/pretraining_nll"] == pytest.approx(3.0)
    loss.value.backward()
    assert logps.grad is not None and logps.grad.tolist() == [-3.0, -1.0, -1.0]


def test_pretraining_text_without_weight_has_no_gradient() -> None:
    logps, batch = mixed()
    PPO(pretraining_coefficient=0.0)(scores(logps), batch, batch.totals()).value.backward()
    assert logps.grad is not None and logps.grad.tolist() == [-3.0, 0.0, 0.0]
