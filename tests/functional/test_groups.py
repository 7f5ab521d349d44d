import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.functional.groups import (
    group_advantages,
    intransitive_advantages,
    leave_one_out_advantages,
    step_advantages,
    uniform_groups,
)

CLOSE: dict[str, float] = {"rtol": 1e-8, "atol": 1e-9}


def in_groups(count: int, size: int) -> Tensor:
    return torch.arange(count).repeat_interleave(size)


def numbers(seed: int, *size: int) -> Tensor:
    return torch.from_numpy(Seed(seed).child("groups").numpy().normal(0.0, 1.0, size))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("unbiased_std_eps1e4", {}),
        ("unbiased_std_eps1e6", {"epsilon": 1e-6}),
        ("no_std", {"scale": "none"}),
        ("batch_std_unbiased", {"scale": "batch"}),
    ],
)
def test_reference_advantages(reference_value, name: str, settings: dict) -> None:
    given, expected = reference_value("rl.grpo_advantages")
    rewards = given["rewards"].flatten()
    group = in_groups(*given["rewards"].shape)
    advantages = group_advantages(rewards, group, **settings)
    torch.testing.assert_close(advantages.view(3, 4), expected[name], **CLOSE)
    assert advantages[4:8].tolist() == [0.0] * 4  # exactly
    assert uniform_groups(rewards, group).view(3, 4)[:, 0].float().mean().item() == pytest.approx(
        expected["frac_zero_std"]
    )


def test_reference_leave_one_out(reference_value) -> None:
    given, expected = reference_value("rl.rloo")
    group = in_groups(*given["rewards"].shape)
    plain = leave_one_out_advantages(given["rewards"].flatten(), group)
    torch.testing.assert_close(plain.view(2, 4), expected["advantages"], **CLOSE)
    penalised = given["rewards"] - given["beta"] * given["seq_kl"]
    with_kl = leave_one_out_advantages(penalised.flatten(), group)
    torch.testing.assert_close(with_kl.view(2, 4), expected["advantages_with_kl"], **CLOSE)


def test_reference_intransitive_advantages(reference_value) -> None:
    given, expected = reference_value("rl.gprl_advantages")
    eigenvalues = given["eigenvalues"].expand(4, 2)
    got = intransitive_advantages(given["embeddings"], eigenvalues, torch.zeros(4).long())
    torch.testing.assert_close(got, expected["advantages"], **CLOSE)


scored = st.lists(
    st.tuples(st.integers(0, 3), st.floats(-5, 5).map(lambda x: round(x, 3))),
    min_size=1,
    max_size=12,
)


@drawn(scored)
def test_every_baseline_sums_to_0_in_each_group(replies: list[tuple[int, float]]) -> None:
    labels = sorted({g for g, _ in replies})
    group = torch.tensor([labels.index(g) for g, _ in replies])
    scores = torch.tensor([s for _, s in replies], dtype=torch.float64)
    for advantages in (
        group_advantages(scores, group),
        group_advantages(scores, group, scale="batch"),
        group_advantages(scores, group, scale="none"),
        leave_one_out_advantages(scores, group),
    ):
        sums = torch.zeros(len(labels)).double().index_add(0, group, advantages)
        assert sums.abs().max() < 1e-9


@drawn(scored, st.floats(-100, 100))
def test_leave_one_out_by_its_definition_and_whatever_the_level(
    replies: list[tuple[int, float]], level: float
) -> None:
    group = torch.tensor([g for g, _ in replies])
    scores = torch.tensor([s for _, s in replies], dtype=torch.float64)
    expected: list[float] = []
    for i, (g, own) in enumerate(replies):
        others = [s for j, (h, s) in enumerate(replies) if h == g and j != i]
        expected.append(own - sum(others) / len(others) if others else 0.0)
    got = leave_one_out_advantages(scores, group)
    assert got.tolist() == pytest.approx(expected, abs=1e-9)
    raised = leave_one_out_advantages(scores + level, group)
    torch.testing.assert_close(raised, got, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_equal_scores_give_exactly_0_although_their_mean_is_rounded(scale) -> None:
    scores = torch.tensor([0.1, 0.1, 0.1, 0.7, 0.7, 0.7, 3.0, 1.0])
    assert float(scores[:3].mean()) != 0.1  # the trap
    advantages = group_advantages(scores, torch.tensor([0, 0, 0, 1, 1, 1, 2, 2]), scale=scale)
    assert advantages[:6].tolist() == [0.0] * 6
    assert advantages[6] > 0 > advantages[7]


def test_a_reply_without_others_gets_0() -> None:
    scores, group = torch.tensor([5.0, 1.0, 3.0]), torch.tensor([0, 1, 1])
    assert group_advantages(scores, group, scale="none").tolist() == [0.0, -1.0, 1.0]
    assert leave_one_out_advantages(scores, group).tolist() == [0.0, -2.0, 2.0]


def test_the_batch_deviation_is_that_of_all_processes() -> None:
    scores, group = numbers(0, 8), in_groups(4, 2)
    whole = group_advantages(scores, group, scale="batch")
    parts: list[Tensor] = []
    for own in (slice(0, 4), slice(4, 8)):
        # What the other process adds: its count, its sum, its squares about the common mean.
        other = scores[4:] if own.start == 0 else scores[:4]
        steps = iter([len(other), other.sum(), (other - scores.mean()).square().sum()])
        parts.append(
            group_advantages(
                scores[own],
                group[:4],
                scale="batch",
                over_ranks=lambda x, steps=steps: x + next(steps),
            )
        )
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)


def test_steps_worked_by_hand() -> None:
    # Step rewards 1, 0 | 1, 0 of one prompt: mean 1/2, deviation sqrt(1/3), so +-0.866 (epsilon 0).
    rewards = torch.tensor([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 9.0, 9.0]]).double()
    ends = torch.tensor([[False, True, False, True], [True, True, False, False]])
    got = step_advantages(rewards, ends, torch.tensor([0, 0]), epsilon=1e-12)
    z = 0.75**0.5
    expected = torch.tensor([[0.0, 0.0, -z, -z], [0.0, -z, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_no_steps_give_nothing() -> None:
    none = torch.zeros(2, 3, dtype=torch.bool)
    got = step_advantages(torch.randn(2, 3), none, torch.tensor([0, 0]))
    assert got.tolist() == [[0.0] * 3] * 2


def test_a_cycle_of_preferences_gives_no_reply_an_advantage() -> None:
    # Three replies at 120 degrees: each beats the next by as much as it loses to the one before.
    angle = torch.tensor([0.0, 2.0, 4.0]).double() * torch.pi / 3
    embeddings = torch.stack([angle.cos(), angle.sin()], dim=1)
    got = intransitive_advantages(embeddings, torch.ones(3, 1).double(), torch.zeros(3).long())
    assert got.abs().max() < 1e-9
