"""Tiny models must solve something, against bars fixed beforehand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from fairlead.core.seeds import Seed
from fairlead.data.batches import pack, preference_batch, sequence_batch
from fairlead.data.chat import Item
from fairlead.functional.reductions import segment_sum
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.models.reference import reference_logps
from fairlead.objectives.base import Need
from fairlead.objectives.bradley_terry import BradleyTerry
from fairlead.objectives.dpo import DPO
from fairlead.objectives.ppo import PPO
from fairlead.objectives.sft import SFT
from fairlead.records import Comparison, Demonstration, Prompt
from fairlead.rewards.base import FunctionReward
from fairlead.rewards.model import score_items
from fairlead.training.collecting import Collector
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.rollout_config import KLControl, RolloutConfig
from fairlead.training.rollouts import RolloutSource
from fairlead.training.source import DatasetSource
from small_world import (
    demonstrations,
    items_of,
    metrics_of,
    prompt_ids,
    prompts,
    tiny_policy,
    tiny_reward_model,
)


def imitate(policy: Policy, items: Sequence[Item], folder: Path, *, epochs: int) -> None:
    source = DatasetSource(items, sequence_batch, 16, epochs, 2048, Seed(0))
    train(policy, SFT(), source, TrainConfig(learning_rate=1e-2), seed=Seed(0), run_dir=folder)


def greedy(policy: Policy, asked: Sequence[Prompt]) -> list[str]:
    ids = [own for _, own in prompt_ids(asked)]
    sampled = LocalEngine(policy).sample(
        ids, Sampling(max_new_tokens=40, temperature=0), n=1, seed=Seed(0)
    )
    decoded = [policy.tokenizer.decode(list(r.tokens), skip_special_tokens=True) for r in sampled]
    return [str(text) for text in decoded]


def test_sft_learns_eight_examples_by_heart(tmp_path: Path) -> None:
    records: list[Demonstration] = demonstrations(8)
    policy = tiny_policy()
    imitate(policy, items_of(records), tmp_path, epochs=120)
    assert metrics_of(tmp_path)[-1]["loss/nll"] < 0.05
    assert greedy(policy, [r.prompt for r in records]) == [r.response for r in records]


WORD = "perhaps"
"""What is preferred and rewarded; demonstrations say it in about a tenth of their replies."""


def hedged(n: int, seed: int) -> list[Comparison]:
    """A reply with the word at any place is preferred to the same reply without it."""
    root, made = Seed(seed).child("hedged"), list[Comparison]()
    plain = [r for r in demonstrations(2 * n, seed) if WORD not in r.response.split()]
    for i, record in enumerate(plain[:n]):
        words = record.response.split()
        place = int(root.child(i).numpy().integers(len(words) + 1))
        better = " ".join([*words[:place], WORD, *words[place:]])
        made.append(Comparison(prompt=record.prompt, chosen=better, rejected=record.response))
    return made


def test_reward_model_learns_a_preference(tmp_path: Path) -> None:
    model = tiny_reward_model()
    source = DatasetSource(items_of(hedged(256, 0)), preference_batch, 16, 4, 2048, Seed(0))
    config = TrainConfig(learning_rate=3e-3)
    train(model, BradleyTerry(), source, config, seed=Seed(0), run_dir=tmp_path)
    held_out = items_of(hedged(200, 1))
    scores = torch.stack(score_items(model, held_out, tokens=2048))
    accuracy = (scores[:, 0] > scores[:, 1]).float().mean().item()
    assert accuracy > 0.9


def sums(policy: Policy, items: Sequence[Item]) -> torch.Tensor:
    """Log-probability of each chosen and rejected reply, [pair, 2]."""
    packed = pack(items)
    with torch.no_grad():
        logps = policy(packed, frozenset({Need.LOGPS})).logps
    return segment_sum(logps, packed.row_sequence, packed.sequences).reshape(-1, 2)


def share_preferred(pairs: torch.Tensor) -> float:
    return (pairs[:, 0] > pairs[:, 1]).float().mean().item()


def test_dpo_comes_to_prefer_what_was_chosen(tmp_path: Path) -> None:
    policy = tiny_policy()
    imitate(policy, items_of(demonstrations(128)), tmp_path / "sft", epochs=4)
    items, held_out = items_of(hedged(192, 2)), items_of(hedged(100, 3))
    before = sums(policy, held_out)
    known = reference_logps(policy, items, tokens=2048, cache=tmp_path / "reference")
    scores = {item.record: own for item, own in zip(items, known, strict=True)}

    def collate(group: Sequence[Item]) -> Any:
        return preference_batch(group, reference=lambda item: scores[item.record])

    source = DatasetSource(items, collate, 16, 5, 2048, Seed(0))
    config = TrainConfig(learning_rate=3e-3)
    train(policy, DPO(beta=0.1), source, config, seed=Seed(0), run_dir=tmp_path / "dpo")
    logged = metrics_of(tmp_path / "dpo")
    assert logged[0]["reward/margin"] == pytest.approx(0.0, abs=1e-5)
    assert logged[-1]["reward/margin"] > 1.0 and logged[-1]["reward/accuracy"] > 0.9
    gain = sums(policy, held_out) - before
    assert share_preferred(gain) > 0.9
    assert share_preferred(before) < 0.2 and share_preferred(before + gain) > 0.5


def says_the_word(prompt: Prompt, text: str) -> float:
    return float(WORD in text.split())


def ppo(folder: Path, *, iterations: int, **settings: Any) -> list[dict[str, float]]:
    policy = tiny_policy()
    imitate(policy, items_of(demonstrations(256)), folder / "sft", epochs=4)
    policy = Policy(policy.model, policy.tokenizer, value="separate")
    asked = prompts(200)
    collector = Collector(
        policy,
        reference=policy.frozen_copy(),
        engine=LocalEngine(policy),
        reward=FunctionReward(says_the_word),
        prompts=prompt_ids(asked),
        records=asked,
        config=RolloutConfig(
            prompts=64,
            iterations=iterations,
            epochs=2,
            minibatches=2,
            sampling=Sampling(max_new_tokens=16),
            **settings,
        ),
        microbatch_tokens=4096,
        seed=Seed(0),
    )
    source = RolloutSource(collector, needs=PPO().needs)
    config = TrainConfig(learning_rate=2e-3, schedule="constant")
    train(policy, PPO(), source, config, seed=Seed(0), run_dir=folder / "ppo")
    return [line for line in metrics_of(folder / "ppo") if "reward/score" in line]


def test_ppo_finds_the_word_that_is_rewarded(tmp_path: Path) -> None:
    batches = ppo(tmp_path, iterations=25, kl=KLControl(coefficient=0.01))
    first = sum(line["reward/score"] for line in batches[:3]) / 3
    last = sum(line["reward/score"] for line in batches[-3:]) / 3
    assert first < 0.2 and last > 0.8


@pytest.mark.slow
def test_a_stronger_kl_penalty_stays_nearer(tmp_path: Path) -> None:
    loose = ppo(tmp_path / "loose", iterations=25, kl=KLControl(coefficient=0.01))
    tight = ppo(tmp_path / "tight", iterations=25, kl=KLControl(coefficient=1.0))
    assert tight[-1]["policy/kl_k1"] < 0.5 * loose[-1]["policy/kl_k1"]


@pytest.mark.slow
def test_adaptive_coefficient_holds_its_target(tmp_path: Path) -> None:
    control = KLControl(coefficient=0.05, target=2.0, horizon=150)
    batches = ppo(tmp_path, iterations=60, kl=control)
    late = [line["policy/kl_k1"] for line in batches[-15:]]
    assert sum(late) / len(late) == pytest.approx(2.0, rel=0.5)
