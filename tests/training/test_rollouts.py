"""The source of PPO's steps: sampling, credit, credit and the KL."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rollout_tools import LOGPS, NEW_TOKENS, column, make, replies, reported, rollouts, start
from torch import Tensor

from fairlead.core.errors import ConfigError, TrainingError
from fairlead.core.metrics import merge
from fairlead.core.seeds import Seed
from fairlead.models.loading import Lora
from fairlead.models.policy import Policy
from fairlead.objectives.ppo import PPO
from fairlead.rewards.base import Reply, Scored
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.rollouts import RolloutSource
from fairlead.training.source import Ranks, Step
from small_world import metrics_of, tiny_policy

PLAIN = {
    "credit": {"kind": "gae", "whiten": False, "gamma": 1.0, "lam": 0.0},
    "kl": {"coefficient": 0.0},
}
"""With lambda 0 and values 0 the advantage of a token is its reward."""


def test_score_comes_at_the_last_token_and_a_missing_end_costs(taught: dict[str, Tensor]) -> None:
    policy = start(taught)
    step = make(policy, reward=lambda *_: 2.5, samples=4, **PLAIN).step(0, Ranks())
    eos = policy.tokenizer.eos_token_id
    ended = [tokens[-1] == eos for tokens, _ in replies(step)]
    assert 0 < sum(ended) < len(ended) == 48
    for tokens, advantages in replies(step):
        assert advantages[:-1].tolist() == [0.0] * (len(tokens) - 1)
        assert float(advantages[-1]) == (2.5 if tokens[-1] == eos else 1.5)
        assert tokens[-1] == eos or len(tokens) == NEW_TOKENS
    metrics = reported(step)
    assert metrics["reward/score"] == 2.5
    assert metrics["rollout/eos_rate"] == pytest.approx(sum(ended) / 48)
    assert metrics["rollout/length"] == pytest.approx(len(column(step, "returns")) / 48)


def test_score_is_that_of_the_reply_it_belongs_to(taught: dict[str, Tensor]) -> None:
    policy = start(taught)
    chat_text = policy.tokenizer.decode
    step = make(policy, samples=3, missing_eos_penalty=0.0, tokens=60, **PLAIN).step(0, Ranks())
    scores = [float(advantages[-1]) for _, advantages in replies(step)]
    words = [
        len(str(chat_text(list(tokens), skip_special_tokens=True)).split())
        for tokens, _ in replies(step)
    ]
    assert scores == words and len(set(scores)) > 3


def test_scores_are_clipped_but_reported_whole(taught: dict[str, Tensor]) -> None:
    source = make(start(taught), reward=lambda *_: -7.0, reward_clip=2.0, **PLAIN)
    step = source.step(0, Ranks())
    assert {float(a[-1]) for _, a in replies(step)} <= {-2.0, -3.0}
    assert reported(step)["reward/score"] == -7.0


def test_whitened_advantages_have_mean_0_and_variance_1(taught: dict[str, Tensor]) -> None:
    step = make(start(taught), samples=2).step(0, Ranks())
    advantages = column(step, "advantages").double()
    assert float(advantages.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(advantages.var()) == pytest.approx(1.0, abs=1e-4)


def test_whitening_is_over_the_batch_not_the_minibatch(taught: dict[str, Tensor]) -> None:
    source = make(start(taught), minibatches=3)
    parts = [column(source.step(index, Ranks()), "advantages").double() for index in range(3)]
    whole = torch.cat(parts)
    assert float(whole.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(whole.var()) == pytest.approx(1.0, abs=1e-4)
    assert max(abs(float(part.mean())) for part in parts) > 1e-3


def test_first_batch_has_no_kl_and_ratio_1(taught: dict[str, Tensor]) -> None:
    policy = start(taught)
    step = make(policy, sampling={"temperature": 0.7}).step(0, Ranks())
    metrics = reported(step)
    assert metrics["policy/kl_k1"] == 0.0 and metrics["policy/kl_k3"] == 0.0
    assert 0 <= metrics["rollout/sampler_gap"] < 1e-5
    batches = rollouts(step)
    losses = [PPO()(policy(b.packed, PPO().needs), b, step.totals()) for b in batches]
    ratio = merge(loss.metrics for loss in losses)["policy/ratio"].value
    assert ratio == pytest.approx(1.0, abs=1e-5)
    gaps = [(policy(b.packed, LOGPS).logps - b.old_logps).abs().max() for b in batches]
    assert torch.stack(gaps).max().item() <= 1e-5


def test_kl_penalty_by_hand(taught: dict[str, Tensor]) -> None:
    policy, reference = start(taught), tiny_policy(seed=5)
    settings = {**PLAIN, "kl": {"coefficient": 0.3}, "missing_eos_penalty": 0.0}
    step = make(policy, reference=reference, reward=lambda *_: 0.0, **settings).step(0, Ranks())
    log_ratios: list[Tensor] = []
    for batch in rollouts(step):
        ratio = policy(batch.packed, LOGPS).logps - reference(batch.packed, LOGPS).logps
        torch.testing.assert_close(batch.advantages, -0.3 * ratio, rtol=1e-4, atol=1e-5)
        log_ratios.append(ratio)
    metrics = reported(step)
    assert metrics["policy/kl_k1"] == pytest.approx(torch.cat(log_ratios).sum().item() / 12, 1e-4)
    assert metrics["policy/kl_k1"] > 1 and metrics["policy/kl_k3"] > 1


def test_kl_coefficient_moves_as_the_formula_says(
    taught: dict[str, Tensor], tmp_path: Path
) -> None:
    kl = {"coefficient": 0.2, "target": 0.05, "horizon": 100}
    source = make(start(taught), kl=kl, iterations=4, epochs=2)
    config = TrainConfig(learning_rate=3e-3, schedule="constant", warmup=0)
    train(source.policy, PPO(), source, config, seed=Seed(0), run_dir=tmp_path)
    fresh = [line for line in metrics_of(tmp_path) if "policy/kl_k1" in line]
    assert [line["step"] for line in fresh] == [1, 3, 5, 7]
    expected = 0.2
    for line in fresh:
        assert line["policy/kl_coefficient"] == pytest.approx(expected, rel=1e-6)
        error = min(max(line["policy/kl_k1"] / 0.05 - 1, -0.2), 0.2)
        expected *= 1 + error * 12 / 100
    assert fresh[1]["policy/kl_coefficient"] == pytest.approx(0.2 * (1 - 0.2 * 12 / 100))
    assert source.state()["kl_coefficient"] == pytest.approx(expected, rel=1e-6)
    assert fresh[-1]["policy/kl_k1"] > 0.05  # so that it has also moved up
    assert expected > fresh[-1]["policy/kl_coefficient"]


def test_coefficient_without_a_target_stays(taught: dict[str, Tensor]) -> None:
    source = make(start(taught), reference=tiny_policy(seed=5), kl={"coefficient": 0.3})
    source.step(0, Ranks())
    assert source.state()["kl_coefficient"] == 0.3
    source.restore(source.state() | {"kl_coefficient": 0.4})
    assert reported(source.step(1, Ranks()))["policy/kl_coefficient"] == pytest.approx(0.4)


def perturbed(policy: Policy) -> Policy:
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            parameter.data += 0.05
    return policy


def test_reference_of_adapters_is_the_model_without_them(taught: dict[str, Tensor]) -> None:
    fresh = start(taught, lora=Lora(rank=2))
    assert reported(make(fresh).step(0, Ranks()))["policy/kl_k1"] == 0.0
    policy, base = perturbed(start(taught, lora=Lora(rank=2))), start(taught)
    step = make(policy).step(0, Ranks())
    log_ratios = [
        policy(b.packed, LOGPS).logps - base(b.packed, LOGPS).logps for b in rollouts(step)
    ]
    expected = torch.cat(log_ratios).sum().item() / 12
    assert reported(step)["policy/kl_k1"] == pytest.approx(expected, rel=1e-4) and expected > 0.1


def test_sampler_that_is_not_the_policy(taught: dict[str, Tensor]) -> None:
    source = make(start(taught), engine=tiny_policy(seed=5))
    with pytest.raises(TrainingError, match="does not sample from the policy") as caught:
        source.step(0, Ranks())
    assert float(caught.value.got) > 0.1 and "present weights" in caught.value.remedy


def test_sampler_with_weights_of_the_step_before(taught: dict[str, Tensor]) -> None:
    """A small lag is a large error by the time it shows in the reward."""
    policy = start(taught)
    stale = policy.frozen_copy()
    policy.model.model.norm.weight.data *= 1.1
    with pytest.raises(TrainingError, match=r"within 0\.02 nats"):
        make(policy, engine=stale).step(0, Ranks())


def test_truncated_sampling_is_scored_by_the_policy_itself(taught: dict[str, Tensor]) -> None:
    policy = start(taught)
    step = make(policy, sampling={"top_k": 3}).step(0, Ranks())
    assert reported(step)["rollout/sampler_gap"] > 0.02
    for batch in rollouts(step):
        torch.testing.assert_close(batch.old_logps, policy(batch.packed, LOGPS).logps)


def test_exploding_kl_stops_the_run(taught: dict[str, Tensor], tmp_path: Path) -> None:
    source = make(start(taught), epochs=2, iterations=3)
    config = TrainConfig(learning_rate=1e-2, warmup=0, max_kl=0.01, checkpoint_every=1)
    with pytest.raises(TrainingError, match=r"policy/kl_k1 is .* at step 3") as caught:
        train(source.policy, PPO(), source, config, seed=Seed(0), run_dir=tmp_path)
    assert "kept: ['step-00000002']" in caught.value.remedy


def test_ratio_is_checked_before_the_first_update(
    taught: dict[str, Tensor], tmp_path: Path
) -> None:
    class Drifting(RolloutSource):
        def step(self, index: int, ranks: Ranks) -> Step:
            step = super().step(index, ranks)
            self.policy.model.model.norm.weight.data *= 1.1
            return step

    source = make(start(taught))
    source.__class__ = Drifting
    with pytest.raises(TrainingError, match="ratio of new to old policy is not 1"):
        train(source.policy, PPO(), source, TrainConfig(), seed=Seed(0), run_dir=tmp_path)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"pretraining_ratio": 1.0}, "0 examples, pretraining_ratio 1.0"),
        ({"pretraining": 5}, "5 examples, pretraining_ratio 0.0"),
    ],
)
def test_ratio_and_text_belong_together(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match="belong together") as caught:
        make(tiny_policy(value="shared"), **settings)
    assert caught.value.got == fault and "pretraining_ratio" in caught.value.remedy


@pytest.mark.parametrize(("minibatches", "ranks"), [(13, Ranks()), (7, Ranks(1, 2))])
def test_every_process_has_a_prompt_in_every_minibatch(minibatches: int, ranks: Ranks) -> None:
    with pytest.raises(ConfigError, match="no prompt in a minibatch") as caught:
        make(tiny_policy(value="shared"), minibatches=minibatches).step(0, ranks)
    assert caught.value.got == "rollouts.prompts = 12"


def test_reward_gets_the_prompt_the_tokens_and_the_text(taught: dict[str, Tensor]) -> None:
    class Keeping:
        name = "keeping"
        got: Sequence[Reply] = ()

        def score(self, replies: Sequence[Reply]) -> Scored:
            Keeping.got = replies
            return Scored(torch.zeros(len(replies)))

    policy = start(taught)
    source = make(policy, samples=2)
    source.collector.reward = Keeping()
    source.step(0, Ranks())
    assert len(Keeping.got) == 24
    for reply in Keeping.got:
        assert reply.prompt_ids == source.collector.chat.prompt_ids(reply.prompt)
        assert reply.text == source.collector.chat.text(reply.response_ids)
        assert "<eos>" not in reply.text


@pytest.mark.parametrize(
    ("sampling", "all_scored"),
    [({}, False), ({"temperature": 0.7}, False), ({"top_k": 3}, True)],
)
def test_log_probabilities_of_the_sampler_are_not_made_again(
    taught: dict[str, Tensor], sampling: dict[str, Any], all_scored: bool
) -> None:
    """Only the first prompt's replies are scored to see that the sampler agrees."""
    collector = make(start(taught), samples=2, sampling=sampling).collector
    experience, _ = collector.sample(0, Ranks())
    collector.work()
    enriched = collector.enrich(experience, LOGPS)
    tokens = [sum(map(len, item.responses)) + len(item.prompt) for item in enriched.items]
    assert collector.work() == tokens[0] + all_scored * sum(tokens)
    scored = collector.score(collector.policy, enriched.items, LOGPS)["logps"]
    torch.testing.assert_close(enriched.logps, scored, rtol=0, atol=1e-5)
    assert enriched.sampler_gap.count == sum(
        map(len, scored if all_scored else scored[: len(enriched.items[0].responses)])
    )
