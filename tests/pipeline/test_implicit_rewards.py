import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import Item
from fairlead.objectives.dpo import DPO
from fairlead.objectives.simpo import SimPO
from fairlead.pipeline.implicit_rewards import area_under_roc, pair_accuracy, thumb_separation

PAIR = Item((1,), ((2, 3, 4, 5), (6,)), (0, 1))
RANKING = Item((1,), ((2,), (3,), (4,)), (1, 0, 1))


def test_the_reward_is_the_objectives_own() -> None:
    # Sums -8 and -4: over 4 tokens and 1 that is -2 and -4 per token.
    known, sums = [[-9.0, -4.5]], [[-8.0, -4.0]]
    assert pair_accuracy(DPO(), [PAIR], known, sums, ["a"]).value == 1.0  # +1 against +0.5
    assert pair_accuracy(DPO(), [PAIR], [[0.0, 0.0]], sums, ["a"]).value == 0.0
    assert pair_accuracy(SimPO(), [PAIR], known, sums, ["a"]).value == 1.0


def test_every_untied_pair_of_a_ranking_counts_and_ties_in_reward_are_wrong() -> None:
    zeros, sums = [[0.0] * 3], [[-2.0, -2.0, -3.0]]
    accuracy = pair_accuracy(DPO(), [RANKING], zeros, sums, ["a"])
    assert accuracy.value == 0.5  # equal to the first, ahead of the last


def test_pairs_of_one_prompt_are_one_cluster() -> None:
    items, zeros = [PAIR] * 4, [[0.0, 0.0]] * 4
    sums = [[-1.0, -2.0]] * 3 + [[-2.0, -1.0]]
    assert pair_accuracy(DPO(), items, zeros, sums, ["a", "a", "b", "c"]).n == 3


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30))
def test_area_is_that_of_scikit_learn(drawn: list[tuple[int, bool]]) -> None:
    drawn = [*drawn, (0, True), (1, False)]
    rewards = np.array([r for r, _ in drawn], dtype=float)
    good = np.array([g for _, g in drawn])
    assert area_under_roc(rewards, good) == pytest.approx(roc_auc_score(good, rewards))


def test_separation_has_an_interval_over_prompts() -> None:
    numbers = Seed(0).child("thumbs").numpy()
    good = numbers.random(80) < 0.5
    rewards = good + numbers.normal(size=80)
    prompts = [str(i // 2) for i in range(80)]
    found = thumb_separation(rewards.tolist(), good.tolist(), prompts, Seed(1))
    assert 0.6 < found.low < found.value < found.high < 0.95 and found.n == 40
    still = thumb_separation([0.0] * 80, good.tolist(), prompts, Seed(1))
    assert (still.low, still.value, still.high) == (0.5, 0.5, 0.5)


def test_one_kind_alone_separates_nothing() -> None:
    assert area_under_roc(np.array([1.0, 2.0]), np.array([True, True])) == 0.5
    with pytest.raises(DataError, match="all of one kind"):
        thumb_separation([1.0, 2.0], [True, True], ["a", "b"], Seed(0))
