import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairlead.functional.advantages import generalised_advantages, shaped_rewards
from fairlead.functional.reductions import whiten

unit = st.floats(0.0, 1.0)


def case(replies: int, length: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards, values and a mask of replies of random lengths, at least one token each."""
    random = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(2, replies, length, generator=random, dtype=torch.float64)
    lengths = torch.randint(1, length + 1, (replies, 1), generator=random)
    return rewards, values, torch.arange(length) < lengths


def test_reference_advantages(reference_value) -> None:
    given, expected = reference_value("rl.gae")
    mask = given["mask"].bool()
    advantages, returns = generalised_advantages(
        given["rewards"], given["values"], mask, gamma=given["gamma"], lam=given["lam"]
    )
    close = {"rtol": 1e-8, "atol": 1e-9}
    torch.testing.assert_close(advantages, expected["advantages"], **close)
    torch.testing.assert_close(torch.where(mask, returns, 0.0), expected["returns"], **close)
    for unbiased, name in ((True, "whitened_unbiased"), (False, "whitened_population")):
        white = whiten(advantages, mask, unbiased=unbiased)
        torch.testing.assert_close(white, expected[name], **close)
    white = whiten(given["rewards"], mask, shift_mean=False)
    torch.testing.assert_close(white, expected["rewards_whitened_no_shift"], **close)


def test_reference_rewards(reference_value) -> None:
    given, expected = reference_value("rl.shaped_rewards")
    mask = given["mask"].bool()
    rewards = shaped_rewards(
        expected["score_after_penalty"],
        given["logp"],
        given["ref_logp"],
        mask,
        kl_coefficient=given["kl_coef"],
    )
    close = {"rtol": 1e-8, "atol": 1e-9}
    torch.testing.assert_close(rewards, expected["rewards"], **close)
    torch.testing.assert_close(rewards.sum(1), expected["rlhf_reward"], **close)


def test_rewards_worked_by_hand() -> None:
    mask = torch.tensor([[True, True, False], [True, False, False]])
    logp = torch.tensor([[-1.0, -2.0, -9.0], [-0.5, 7.0, 7.0]])
    rewards = shaped_rewards(
        torch.tensor([3.0, -1.0]), logp, torch.full((2, 3), -1.5), mask, kl_coefficient=0.1
    )
    # First reply: -0.1 * (0.5), then -0.1 * (-0.5) + 3; second: -0.1 * 1 - 1.
    expected = torch.tensor([[-0.05, 3.05, 0.0], [-1.1, 0.0, 0.0]])
    torch.testing.assert_close(rewards, expected)


def test_advantages_worked_by_hand() -> None:
    # gamma 0.5, lambda 0.5. Last: delta = 4 - 2 = 2. First: delta = 1 + 0.5 * 2 - 3 = -1,
    # advantage = -1 + 0.25 * 2 = -0.5. Returns: -0.5 + 3 = 2.5 and 2 + 2 = 4.
    advantages, returns = generalised_advantages(
        torch.tensor([[1.0, 4.0]]),
        torch.tensor([[3.0, 2.0]]),
        torch.ones(1, 2, dtype=torch.bool),
        gamma=0.5,
        lam=0.5,
    )
    assert advantages.tolist() == [[-0.5, 2.0]]
    assert returns.tolist() == [[2.5, 4.0]]


def by_definition(
    rewards: list[float], values: list[float], gamma: float, lam: float
) -> list[float]:
    """The sum of eq. 16 over all later temporal differences, term by term."""
    following = [*values[1:], 0.0]
    deltas = [r + gamma * n - v for r, v, n in zip(rewards, values, following, strict=True)]
    return [
        sum((gamma * lam) ** k * delta for k, delta in enumerate(deltas[t:]))
        for t in range(len(deltas))
    ]


sizes = {"replies": st.integers(1, 4), "length": st.integers(1, 8), "seed": st.integers(0, 999)}


@given(**sizes, gamma=unit, lam=unit)
def test_advantages_are_the_sum_over_later_differences(
    replies: int, length: int, seed: int, gamma: float, lam: float
) -> None:
    rewards, values, mask = case(replies, length, seed)
    advantages, returns = generalised_advantages(rewards, values, mask, gamma=gamma, lam=lam)
    for row in range(replies):
        here = mask[row]
        expected = by_definition(
            rewards[row, here].tolist(), values[row, here].tolist(), gamma, lam
        )
        assert advantages[row, here].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert advantages[row, ~here].count_nonzero() == 0
        torch.testing.assert_close(
            returns[row, here], advantages[row, here] + values[row, here], rtol=0, atol=1e-12
        )


@given(**sizes, gamma=unit)
def test_returns_at_lambda_1_are_the_rewards_to_go_whatever_the_values(
    replies: int, length: int, seed: int, gamma: float
) -> None:
    rewards, values, mask = case(replies, length, seed)
    _, returns = generalised_advantages(rewards, values, mask, gamma=gamma, lam=1.0)
    to_go, _ = generalised_advantages(rewards, 0 * values, mask, gamma=gamma, lam=1.0)
    torch.testing.assert_close(torch.where(mask, returns, 0.0), to_go, rtol=1e-10, atol=1e-10)


@given(**sizes, gamma=unit)
def test_advantages_at_lambda_0_are_one_step_differences(
    replies: int, length: int, seed: int, gamma: float
) -> None:
    rewards, values, mask = case(replies, length, seed)
    advantages, _ = generalised_advantages(rewards, values, mask, gamma=gamma, lam=0.0)
    following = torch.where(mask, values, 0.0).roll(-1, 1)
    following[:, -1] = 0.0
    expected = torch.where(mask, rewards + gamma * following - values, 0.0)
    torch.testing.assert_close(advantages, expected, rtol=1e-10, atol=1e-10)


@given(**sizes)
def test_what_lies_behind_a_reply_changes_nothing(replies: int, length: int, seed: int) -> None:
    rewards, values, mask = case(replies, length, seed)
    spoiled = [torch.where(mask, x, 1e6) for x in (rewards, values)]
    one = generalised_advantages(rewards, values, mask, gamma=0.9, lam=0.9)
    other = generalised_advantages(*spoiled, mask, gamma=0.9, lam=0.9)
    assert torch.equal(one[0], other[0])
