"""Adapters, references and value heads."""

from dataclasses import replace

import pytest
import torch
from tiny_models import PAIRS, letters, llama, make
from torch import nn

from fairlead.core.seeds import Seed
from fairlead.data.batches import pack
from fairlead.models.loading import Lora
from fairlead.models.policy import Policy, RewardModel
from fairlead.objectives import Need, Packed

LOGPS = frozenset({Need.LOGPS})
VALUES = frozenset({Need.VALUES})
PACKED = pack(PAIRS)


def shake(module: nn.Module, names: str) -> None:
    """Moves the weights whose name contains `names` away from where they start."""
    for name, parameter in module.named_parameters():
        if names in name:
            parameter.data += torch.linspace(-0.3, 0.4, parameter.numel()).view_as(parameter)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_fresh_adapters_change_nothing(family: str) -> None:
    base = Policy(make(family), letters())
    adapted = Policy(Lora(rank=4).wrap(make(family)), letters())
    assert adapted.adapts and not base.adapts
    log_ratio = adapted(PACKED, LOGPS).logps - base(PACKED, LOGPS).logps
    assert log_ratio.tolist() == [0.0] * len(PACKED.rows)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_trained_adapters_are_off_in_the_reference(family: str) -> None:
    base = Policy(make(family), letters())
    adapted = Policy(Lora(rank=4).wrap(make(family)), letters())
    shake(adapted, "lora_B")
    expected = base(PACKED, LOGPS).logps
    assert (adapted(PACKED, LOGPS).logps - expected).abs().max() > 0.1
    with adapted.as_reference():
        assert torch.equal(adapted(PACKED, LOGPS).logps, expected)
    assert (adapted(PACKED, LOGPS).logps - expected).abs().max() > 0.1


def test_only_adapters_are_trained() -> None:
    policy = Policy(Lora(rank=4).wrap(llama()), letters())
    trained = [name for name, p in policy.named_parameters() if p.requires_grad]
    # Seven projections in each of two layers, two matrices each.
    assert len(trained) == 2 * 7 * 2 and all("lora_" in name for name in trained)


def test_frozen_copy_stays_when_the_policy_moves() -> None:
    policy = Policy(make("llama"), letters(), base="abc")
    reference = policy.frozen_copy()
    before = policy(PACKED, LOGPS).logps
    shake(policy, "mlp")
    assert torch.equal(reference(PACKED, LOGPS).logps, before)
    assert not any(p.requires_grad for p in reference.parameters())
    assert reference.base == "abc" and reference.trunk.packs
    assert (policy(PACKED, LOGPS).logps - before).abs().max() > 0.1


def test_gradient_of_a_shared_value_head_reaches_the_trunk() -> None:
    policy = Policy(make("llama"), letters(), value="shared")
    shake(policy.value_head, "weight")
    values = policy(PACKED, VALUES).values
    hidden = policy.trunk.hidden(PACKED)[PACKED.rows]
    torch.testing.assert_close(values, hidden @ policy.value_head.weight[0])
    values.square().sum().backward()
    assert policy.model.get_input_embeddings().weight.grad.norm() > 0.1


def test_gradient_of_a_separate_value_trunk_stays_there() -> None:
    policy = Policy(make("llama"), letters(), value="separate")
    shake(policy.value_head, "weight")
    policy(PACKED, VALUES).values.square().sum().backward()
    assert all(p.grad is None for p in policy.model.parameters())
    assert policy.value_model.get_input_embeddings().weight.grad.norm() > 0.1


def test_a_separate_critic_answers_without_the_policys_trunk() -> None:
    policy = Policy(make("llama"), letters(), value="separate")
    expected = policy(PACKED, VALUES | LOGPS).values
    policy.trunk.hidden = None  # pyright: ignore
    assert torch.equal(policy(PACKED, VALUES).values, expected)


def test_separate_value_trunk_starts_as_the_policys() -> None:
    shared = Policy(make("llama"), letters(), value="shared")
    separate = Policy(make("llama"), letters(), value="separate")
    for policy in (shared, separate):
        shake(policy.value_head, "weight")
    assert torch.equal(separate(PACKED, VALUES).values, shared(PACKED, VALUES).values)


def at_ends(packed: Packed) -> Packed:
    """The same pack with its rows at the last tokens, where a reward model reads."""
    count = torch.arange(packed.sequences)
    return replace(
        packed, rows=packed.ends, targets=torch.zeros_like(packed.ends), row_sequence=count
    )


def test_critic_starts_by_predicting_the_reward_models_score() -> None:
    reward_model = RewardModel(make("qwen3").base_model, letters())
    reward_model.draw_head(Seed(1))
    reward_model.head.bias.data.fill_(0.3)
    reward_model.offset.fill_(1.7)
    scores = reward_model(PACKED, frozenset({Need.REWARDS})).rewards
    policy = Policy(make("llama"), letters(), value="separate", critic=reward_model)
    values = policy(at_ends(PACKED), VALUES).values
    torch.testing.assert_close(values, scores, rtol=1e-6, atol=1e-6)
    shake(policy, "value")
    assert torch.equal(reward_model(PACKED, frozenset({Need.REWARDS})).rewards, scores)
