"""How many tokens are computed at once does not change what is learned."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fairlead.core.seeds import Seed
from fairlead.data.batches import preference_batch, sequence_batch
from fairlead.data.chat import Item
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy, RewardModel
from fairlead.models.reference import reference_logps
from fairlead.objectives.base import Objective
from fairlead.objectives.bradley_terry import BradleyTerry
from fairlead.objectives.dpo import DPO
from fairlead.objectives.ppo import PPO
from fairlead.objectives.sft import SFT
from fairlead.rewards.base import FunctionReward
from fairlead.training.collecting import Collector
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.rollout_config import KLControl, RolloutConfig
from fairlead.training.rollouts import RolloutSource
from fairlead.training.source import DatasetSource, Ranks, Source
from small_world import (
    comparisons,
    demonstrations,
    items_of,
    metrics_of,
    prompt_ids,
    prompts,
    tiny_policy,
    tiny_reward_model,
)

ONE_BY_ONE, ALL_AT_ONCE = 1, 1_000_000
Run = tuple[Policy | RewardModel, Objective, Source]


def dataset(items: list[Item], collate: Callable[..., object], tokens: int) -> DatasetSource:
    return DatasetSource(items, collate, 8, 2, tokens, Seed(0))  # pyright: ignore


def sft(tokens: int, folder: Path) -> Run:
    return tiny_policy(), SFT(), dataset(items_of(demonstrations(22)), sequence_batch, tokens)


def reward(tokens: int, folder: Path) -> Run:
    source = dataset(items_of(comparisons(22)), preference_batch, tokens)
    return tiny_reward_model(), BradleyTerry(), source


def dpo(tokens: int, folder: Path) -> Run:
    policy, items = tiny_policy(), items_of(comparisons(22))
    known = reference_logps(policy, items, tokens=tokens, cache=folder / "reference")
    scores = {item.record: own for item, own in zip(items, known, strict=True)}

    def collate(group: list[Item]) -> object:
        return preference_batch(group, reference=lambda item: scores[item.record])

    return policy, DPO(), dataset(items, collate, tokens)


def ppo(tokens: int, folder: Path) -> Run:
    policy, asked = tiny_policy(value="shared"), prompts(24)
    collector = Collector(
        policy,
        reference=policy.frozen_copy(),
        engine=LocalEngine(policy),
        reward=FunctionReward(lambda prompt, text: float(len(text.split()))),
        prompts=prompt_ids(asked),
        records=asked,
        config=RolloutConfig(
            prompts=8,
            iterations=2,
            epochs=2,
            minibatches=2,
            sampling=Sampling(max_new_tokens=6, temperature=0.8),
            kl=KLControl(target=0.5, horizon=20),
            pretraining_ratio=1.0,
        ),
        microbatch_tokens=tokens,
        seed=Seed(0),
    )
    mixed_in = items_of(demonstrations(22))
    return (
        policy,
        PPO(),
        RolloutSource(collector, needs=PPO().needs, pretraining=mixed_in),
    )


def trained(make: Callable[[int, Path], Run], tokens: int, folder: Path) -> dict[str, torch.Tensor]:
    module, objective, source = make(tokens, folder)
    # Adam divides by the gradient's own size and would blow up rounding where that is almost 0.
    config = TrainConfig(
        learning_rate=1e-2, microbatch_tokens=tokens, schedule="constant", epsilon=1e-3
    )
    train(
        module, objective, source, config, seed=Seed(0), run_dir=folder, require_eos=make is not ppo
    )
    return module.state_dict()


@pytest.mark.parametrize("make", [sft, reward, dpo, ppo])
def test_eight_by_one_equals_one_by_eight(make: Callable[[int, Path], Run], tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "all"
    one = trained(make, ONE_BY_ONE, folders[0])
    whole = trained(make, ALL_AT_ONCE, folders[1])
    for name in one:
        torch.testing.assert_close(one[name], whole[name], rtol=1e-5, atol=1e-5, msg=name)
    for mine, other in zip(metrics_of(folders[0]), metrics_of(folders[1]), strict=True):
        assert mine == pytest.approx(other, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("make", "examples"), [(sft, 8), (reward, 8), (dpo, 8), (ppo, 4 + 4)])
def test_the_two_really_differ_in_their_microbatches(
    make: Callable[[int, Path], Run], examples: int, tmp_path: Path
) -> None:
    one = make(ONE_BY_ONE, tmp_path)[2].step(0, Ranks())
    whole = make(ALL_AT_ONCE, tmp_path)[2].step(0, Ranks())
    assert len(one.microbatches) == examples
    assert len(whole.microbatches) == (2 if make is ppo else 1)  # rollouts, pretraining text
    assert one.totals() == whole.totals()


def first_gradient(
    make: Callable[[int, Path], Run], tokens: int, folder: Path
) -> dict[str, torch.Tensor]:
    module, objective, source = make(tokens, folder)
    step = source.step(0, Ranks())
    for batch in step.microbatches:
        scores = module(batch.packed, objective.needs)
        objective(scores, batch, step.totals()).value.backward()
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("make", [sft, reward, dpo, ppo])
def test_gradients_of_a_step_are_equal(make: Callable[[int, Path], Run], tmp_path: Path) -> None:
    one = first_gradient(make, ONE_BY_ONE, tmp_path)
    whole = first_gradient(make, ALL_AT_ONCE, tmp_path)
    assert one.keys() == whole.keys() and len(one) > 10
    for name in one:
        scale = float(whole[name].abs().max())
        torch.testing.assert_close(one[name], whole[name], rtol=1e-5, atol=1e-5 * scale, msg=name)


def test_same_as_one_step_by_hand(tmp_path: Path) -> None:
    """The loop takes the very step that a plain loop over the whole batch takes."""
    policy, by_hand = tiny_policy(), tiny_policy()
    source = DatasetSource(items_of(demonstrations(8)), sequence_batch, 8, 1, ONE_BY_ONE, Seed(0))
    config = TrainConfig(
        learning_rate=1e-3, warmup=0, weight_decay=0.1, max_grad_norm=0.5, epsilon=1e-4
    )
    train(policy, SFT(), source, config, seed=Seed(0), run_dir=tmp_path)
    optimizer = torch.optim.AdamW(
        by_hand.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-4, weight_decay=0.1
    )
    batch = sequence_batch(source.items)
    loss = -by_hand(batch.packed, SFT().needs).logps.mean()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 0.5)
    optimizer.step()
    logged = metrics_of(tmp_path)[0]
    assert logged["loss/total"] == pytest.approx(loss.item(), rel=1e-5)
    assert logged["train/gradient_norm"] == pytest.approx(float(norm), rel=1e-5) and norm > 0.5
    for mine, other in zip(policy.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
