import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from batches import interleaved, pairs, ranked
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairlead.data.batches import preference_batch
from fairlead.data.chat import Item
from fairlead.objectives import Scores
from fairlead.objectives.bradley_terry import BradleyTerry
from fairlead.objectives.comparisons import bradley_terry_loss, comparison_losses


def fit(rewards: Tensor, *rankings: tuple[int, ...]) -> float:
    batch = ranked(*rankings)
    return BradleyTerry()(Scores(rewards=rewards), batch, batch.totals()).value.item()


def test_worked_by_hand() -> None:
    # Odds 3 and 1: -ln(3/4) = 0.287682 and -ln(1/2) = 0.693147; their mean is 0.490415.
    batch = pairs(2)
    rewards = torch.tensor([math.log(3), 0.0, 0.2, 0.2], dtype=torch.float64)
    loss = BradleyTerry()(Scores(rewards=rewards), batch, batch.totals())
    assert loss.value.item() == pytest.approx(0.4904146265, rel=1e-9)
    metrics = {name: mean.value for name, mean in loss.metrics.items()}
    assert metrics["reward/accuracy"] == 0.5  # equal scores are not a correct order
    assert metrics["reward/margin"] == pytest.approx(math.log(3) / 2)
    assert metrics["reward/chosen"] == pytest.approx((math.log(3) + 0.2) / 2)
    assert metrics["reward/rejected"] == pytest.approx(0.1)


def test_reference_pairs(reference_value) -> None:
    given, expected = reference_value("rm.bt")
    chosen, rejected = given["r_chosen"], given["r_rejected"]
    per_pair = bradley_terry_loss(chosen - rejected)
    torch.testing.assert_close(per_pair, expected["per_pair"], rtol=1e-8, atol=1e-9)
    batch = pairs(len(chosen))
    scores = Scores(rewards=interleaved(chosen, rejected))
    loss = BradleyTerry()(scores, batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected["mean"], rel=1e-8)
    assert loss.metrics["reward/accuracy"].value == expected["accuracy"]
    assert loss.metrics["reward/margin"].value == pytest.approx(expected["mean_margin"], rel=1e-8)


def test_reference_rankings(reference_value) -> None:
    given, expected = reference_value("rm.kwise")
    groups = given["rewards_best_to_worst"]
    rankings = [tuple(range(len(group))) for group in groups]
    assert fit(torch.cat(groups), *rankings) == pytest.approx(
        expected["mean_over_prompts"], rel=1e-8
    )
    for group, ranking, value in zip(groups, rankings, expected["per_prompt"], strict=True):
        assert fit(group, ranking) == pytest.approx(value.item(), rel=1e-8)
    assert ranked(*rankings).better.shape[0] == expected["n_pairs"]


def test_reference_rankings_with_the_products_own_weights(reference_value) -> None:
    given, expected = reference_value("rm.kwise")
    groups = given["rewards_best_to_worst"]
    items = [Item((1,), ((2,),) * len(g), tuple(range(len(g)))) for g in groups]
    batch = preference_batch(items)
    loss = BradleyTerry()(Scores(rewards=torch.cat(groups)), batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected["mean_over_prompts"], rel=1e-7)


def test_reference_ties(reference_value) -> None:
    given, expected = reference_value("rm.kwise_ties")
    ranks = tuple(given["ranks"].int().tolist())
    assert ranked(ranks).better.shape[0] == expected["n_pairs"]
    assert fit(given["rewards"], ranks) == pytest.approx(expected["loss"], rel=1e-8)


def test_ranking_of_two_is_a_comparison() -> None:
    rewards = torch.tensor([0.3, -1.1], dtype=torch.float64)
    assert fit(rewards, (0, 1)) == pytest.approx(-F.logsigmoid(torch.tensor(1.4)).item())
    assert fit(rewards, (5, 2)) == pytest.approx(-F.logsigmoid(torch.tensor(-1.4)).item())


@given(
    rewards=st.lists(st.floats(-5, 5), min_size=2, max_size=6),
    ranks=st.lists(st.integers(0, 3), min_size=6, max_size=6),
)
def test_rankings_equal_a_loop_over_untied_pairs(rewards: list[float], ranks: list[int]) -> None:
    ranks = [0, 1, *ranks[2:]][: len(rewards)]
    losses = [
        math.log1p(math.exp(other - mine))
        for mine, rank in zip(rewards, ranks, strict=True)
        for other, behind in zip(rewards, ranks, strict=True)
        if rank < behind
    ]
    expected = sum(losses) / len(losses)
    values = torch.tensor(rewards, dtype=torch.float64)
    assert fit(values, tuple(ranks)) == pytest.approx(expected, rel=1e-9)


def test_adding_the_same_to_all_scores_changes_nothing() -> None:
    rewards = torch.tensor([0.3, -1.1, 2.0, 0.7], dtype=torch.float64)
    assert fit(rewards + 100, (0, 1, 2, 2)) == pytest.approx(fit(rewards, (0, 1, 2, 2)), rel=1e-12)


def test_gradient_is_how_far_the_odds_are_off() -> None:
    # d/dr of -log sigmoid(r - s) is sigmoid(r - s) - 1: at equal scores, -1/2 and +1/2.
    rewards = torch.zeros(2, requires_grad=True)
    batch = pairs(1)
    BradleyTerry()(Scores(rewards=rewards), batch, batch.totals()).value.backward()
    assert rewards.grad is not None and rewards.grad.tolist() == [-0.5, 0.5]


def test_reference_margins(reference_value) -> None:
    given, expected = reference_value("rm.bt_margin")
    chosen, rejected = given["r_chosen"], given["r_rejected"]
    batch = replace(pairs(len(chosen)), strength=given["margin"])
    losses = comparison_losses(chosen - rejected, batch)
    torch.testing.assert_close(losses, expected["per_pair"], rtol=1e-8, atol=1e-9)
    loss = BradleyTerry()(Scores(rewards=interleaved(chosen, rejected)), batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected["mean"], rel=1e-8)


def test_reference_label_smoothing(reference_value) -> None:
    given, expected = reference_value("rm.bt_label_smoothing")
    chosen, rejected = given["r_chosen"], given["r_rejected"]
    batch = pairs(len(chosen))
    losses = comparison_losses(chosen - rejected, batch, smoothing=given["epsilon"])
    torch.testing.assert_close(losses, expected["per_pair"], rtol=1e-8, atol=1e-9)
    objective = BradleyTerry(label_smoothing=given["epsilon"])
    loss = objective(Scores(rewards=interleaved(chosen, rejected)), batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected["mean"], rel=1e-8)


def test_reference_soft_labels(reference_value) -> None:
    given, expected = reference_value("rm.bt_soft_labels")
    batch = replace(pairs(len(given["r_a"])), label=given["p_a"])
    losses = comparison_losses(given["r_a"] - given["r_b"], batch)
    torch.testing.assert_close(losses, expected["per_pair"], rtol=1e-8, atol=1e-9)
    scores = Scores(rewards=interleaved(given["r_a"], given["r_b"]))
    loss = BradleyTerry()(scores, batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected["mean"], rel=1e-8)


def test_reference_centring(reference_value) -> None:
    given, expected = reference_value("rm.bt_centered")
    batch = pairs(len(given["r_chosen"]))
    scores = Scores(rewards=interleaved(given["r_chosen"], given["r_rejected"]))
    loss = BradleyTerry(centring=given["coef"])(scores, batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected["total"], rel=1e-8)
    plain = BradleyTerry()(scores, batch, batch.totals()).value.item()
    penalty = (loss.value.item() - plain) / given["coef"]
    assert penalty == pytest.approx(expected["penalty_sum_squared"], rel=1e-8)


def test_members_are_fitted_one_by_one() -> None:
    members = torch.tensor([[0.3, 2.0], [-1.1, 2.5]], dtype=torch.float64, requires_grad=True)
    batch = pairs(1)
    scores = Scores(rewards=members.mean(1), members=members)
    loss = BradleyTerry()(scores, batch, batch.totals())
    alone = [-F.logsigmoid(members[0, m] - members[1, m]) for m in (0, 1)]
    assert loss.value.item() == pytest.approx(sum(alone).item() / 2, rel=1e-12)  # pyright: ignore
    loss.value.backward()
    assert members.grad is not None
    own = [-(1 - torch.sigmoid(members[0, m] - members[1, m])).item() / 2 for m in (0, 1)]
    assert members.grad[0].tolist() == pytest.approx(own, rel=1e-12)
    # The member that has the pair wrong learns more: the mean of scores would treat both alike.
    assert abs(own[1]) > abs(own[0])
