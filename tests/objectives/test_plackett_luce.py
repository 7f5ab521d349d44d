import math

import pytest
import torch
from batches import ranked
from hypothesis import given
from hypothesis import strategies as st

from fairlead.objectives import Scores
from fairlead.objectives.bradley_terry import BradleyTerry
from fairlead.objectives.plackett_luce import PlackettLuce, choice_losses


def fit(rewards: torch.Tensor, *rankings: tuple[int, ...]) -> float:
    batch = ranked(*rankings)
    return PlackettLuce()(Scores(rewards=rewards), batch, batch.totals()).value.item()


def test_reference_values(reference_value) -> None:
    given, expected = reference_value("rm.plackett_luce")
    rewards = given["rewards_best_to_worst"]
    order = tuple(range(len(rewards)))
    assert fit(rewards, order) == pytest.approx(expected["nll"], rel=1e-8)
    first = choice_losses(rewards, ranked(order))[0]
    assert first.item() == pytest.approx(expected["best_of_k_ce"], rel=1e-8)


@given(rewards=st.lists(st.floats(-5, 5), min_size=2, max_size=5))
def test_likelihoods_of_all_orders_sum_to_one(rewards: list[float]) -> None:
    from itertools import permutations

    values = torch.tensor(rewards, dtype=torch.float64)
    losses = [fit(values, order) for order in permutations(range(len(rewards)))]
    assert sum(math.exp(-loss) for loss in losses) == pytest.approx(1.0, rel=1e-9)


def test_two_replies_are_bradley_terry() -> None:
    rewards = torch.tensor([0.3, -1.1, 2.0, 0.7]).double()
    batch = ranked((0, 1), (1, 0))
    expected = BradleyTerry()(Scores(rewards=rewards), batch, batch.totals()).value.item()
    assert fit(rewards, (0, 1), (1, 0)) == pytest.approx(expected, rel=1e-12)


def test_prompts_count_once_and_their_mean_is_taken() -> None:
    rewards = torch.tensor([0.3, -1.1, 2.0, 0.7, 0.1]).double()
    parts = fit(rewards[:2], (0, 1)), fit(rewards[2:], (2, 0, 1))
    assert fit(rewards, (0, 1), (2, 0, 1)) == pytest.approx(sum(parts) / 2, rel=1e-12)


def test_tied_replies_do_not_compete() -> None:
    # Ranks 0, 1, 1: the first against both; then each tied one is alone among what is below it.
    rewards = torch.tensor([0.0, 1.0, -1.0]).double()
    expected = math.log(1 + math.e + 1 / math.e)
    assert fit(rewards, (0, 1, 1)) == pytest.approx(expected, rel=1e-12)


def test_far_scores_stay_finite() -> None:
    rewards = torch.tensor([-1e4, 0.0, 1e4], requires_grad=True)
    batch = ranked((0, 1, 2))
    loss = PlackettLuce()(Scores(rewards=rewards), batch, batch.totals()).value
    loss.backward()
    assert loss.item() == pytest.approx(3e4)
    assert rewards.grad is not None and rewards.grad.tolist() == [-1.0, -1.0, 2.0]
