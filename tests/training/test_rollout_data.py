"""The source of PPO's steps: which prompts, in which order, and what text is mixed in."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from rollout_tools import (
    LOGPS,
    column,
    make,
    mixed_in,
    replies,
    rollouts,
    start,
)
from torch import Tensor

from fairlead.core.metrics import merge
from fairlead.objectives.ppo import PPO
from fairlead.records import Prompt
from fairlead.training.rollouts import RolloutSource
from fairlead.training.source import Ranks
from small_world import demonstrations, items_of, prompts


@pytest.mark.parametrize(("ratio", "count"), [(0.5, 6), (2.0, 24)])
def test_pretraining_text_is_mixed_in(taught: dict[str, Tensor], ratio: float, count: int) -> None:
    policy = start(taught)
    settings = {"pretraining_ratio": ratio, "sampling": {"temperature": 0.5}}
    step = make(policy, pretraining=20, **settings).step(0, Ranks())
    assert sum(b.packed.sequences for b in mixed_in(step)) == count
    assert sum(b.packed.sequences for b in rollouts(step)) == 12
    assert {b.packed.temperature for b in rollouts(step)} == {0.5}
    assert {b.packed.temperature for b in mixed_in(step)} == {1.0}
    known = {item.responses[0] for item in items_of(demonstrations(20))}
    for batch in mixed_in(step):
        assert bool(batch.pretraining.all())
        rows = batch.packed.row_sequence
        for sequence in range(batch.packed.sequences):
            assert tuple(batch.packed.targets[rows == sequence].tolist()) in known
        logits = policy.logits(policy.trunk.hidden(batch.packed)[batch.packed.rows])
        logps = logits.log_softmax(-1).gather(1, batch.packed.targets[:, None]).squeeze(1)
        torch.testing.assert_close(policy(batch.packed, LOGPS).logps, logps)
    totals = step.totals()
    assert totals.rows == len(column(step, "returns"))
    assert totals.pretraining_rows == sum(len(b.packed.rows) for b in mixed_in(step))


def test_pretraining_text_changes_no_policy_metric(taught: dict[str, Tensor]) -> None:
    policy = start(taught)

    def metrics(**settings: Any) -> dict[str, float]:
        step = make(policy, **settings).step(0, Ranks())
        totals = step.totals()
        parts = [PPO()(policy(b.packed, PPO().needs), b, totals).metrics for b in step.microbatches]
        return {name: mean.value for name, mean in merge(parts).items()}

    plain = metrics()
    mixed = metrics(pretraining=20, pretraining_ratio=1.0)
    assert mixed.pop("loss/pretraining_nll") > 0.1
    assert mixed == pytest.approx(plain, rel=1e-5, abs=1e-6)


def test_pretraining_text_differs_by_step_and_follows_the_seed(taught: dict[str, Tensor]) -> None:
    def texts(index: int) -> list[list[int]]:
        source = make(start(taught), pretraining=20, pretraining_ratio=0.5, epochs=2)
        return [b.packed.input_ids.tolist() for b in mixed_in(source.step(index, Ranks()))]

    assert texts(0) == texts(0) and texts(0) != texts(1)


def asked_in(source: RolloutSource, seen: list[str], ranks: Ranks) -> list[list[str]]:
    """First user turns of the prompts of each iteration."""
    iterations: list[list[str]] = []
    for index in range(source.steps):
        seen.clear()
        source.step(index, ranks)
        iterations.append(list(seen))
    return iterations


def recorder(seen: list[str]) -> Callable[[Prompt, str], float]:
    def reward(prompt: Prompt, text: str) -> float:
        seen.append(prompt.first_user_turn)
        return 0.0

    return reward


def test_prompts_go_round(taught: dict[str, Tensor]) -> None:
    seen: list[str] = []
    source = make(start(taught), reward=recorder(seen), asked=10, prompts=4, iterations=10)
    order = [text for iteration in asked_in(source, seen, Ranks()) for text in iteration]
    everyone = Counter(prompt.first_user_turn for prompt in prompts(10))
    cycles = [order[start : start + 10] for start in range(0, 40, 10)]
    assert all(Counter(cycle) == everyone for cycle in cycles)
    assert len({tuple(cycle) for cycle in cycles}) == 4  # a new order every time


def test_processes_share_the_prompts(taught: dict[str, Tensor]) -> None:
    def of(ranks: Ranks) -> list[list[str]]:
        seen: list[str] = []
        source = make(start(taught), reward=recorder(seen), asked=10, prompts=5, iterations=2)
        return asked_in(source, seen, ranks)

    whole, first, second = of(Ranks()), of(Ranks(0, 2)), of(Ranks(1, 2))
    for i in range(2):
        assert Counter(first[i]) + Counter(second[i]) == Counter(whole[i])
        assert (len(first[i]), len(second[i])) == (3, 2)


def test_a_batch_is_used_epochs_times_and_reported_once(taught: dict[str, Tensor]) -> None:
    source = make(start(taught), epochs=2, minibatches=3, iterations=2)
    assert source.steps == 12
    steps = [source.step(index, Ranks()) for index in range(12)]
    assert [bool(step.metrics) for step in steps] == [True, *[False] * 5] * 2
    assert [source.between(index) for index in range(12)] == [True, *[False] * 5] * 2
    used = [Counter(tokens for tokens, _ in replies(step)) for step in steps]
    whole = sum(used[:3], Counter())
    assert whole.total() == 12 and sum(used[3:6], Counter()) == whole
    assert used[:3] != used[3:6]  # shuffled anew


def test_equal_seeds_give_equal_rollouts(taught: dict[str, Tensor]) -> None:
    def tokens(seed: int) -> list[tuple[int, ...]]:
        return [t for t, _ in replies(make(start(taught), seed=seed).step(0, Ranks()))]

    assert tokens(0) == tokens(0) != tokens(1)
