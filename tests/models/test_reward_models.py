"""Scores of packed sequences are those of each sequence alone."""

import copy

import pytest
import torch
from tiny_models import MIXED_SIZES, PAIRS, bert, items, letters, make, padded_batch

from fairlead.core.seeds import Seed
from fairlead.data.batches import pack
from fairlead.models.reward_model import RewardModel
from fairlead.objectives import Need

REWARDS = frozenset({Need.REWARDS})


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "gemma3", "bloom"])
@pytest.mark.parametrize("chosen", [PAIRS, items(MIXED_SIZES)], ids=["pairs", "long and short"])
def test_last_token_scores_equal_padded_ones(family: str, chosen: list) -> None:
    trunk = make(family).base_model
    model = RewardModel(copy.deepcopy(trunk), letters()).eval()
    model.draw_head(Seed(1))
    ids, mask, _ = padded_batch(chosen)
    with torch.no_grad():
        hidden = trunk(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = hidden[torch.arange(len(ids)), mask.sum(1) - 1] @ model.head.weight[0]
        scores = model(pack(chosen), REWARDS).rewards
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("packs", [True, False])
def test_mean_pooled_scores_equal_padded_ones(packs: bool) -> None:
    chosen = items(MIXED_SIZES)
    encoder = bert()
    model = RewardModel(copy.deepcopy(encoder), letters(), pooling="mean").eval()
    assert model.trunk.packs and not model.shares_prompts
    if not packs:
        model.trunk.packs = False
        model.model.set_attn_implementation("sdpa")
    model.draw_head(Seed(1))
    ids, mask, _ = padded_batch(chosen)
    with torch.no_grad():
        hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        scores = model(pack(chosen, share_prompts=False), REWARDS).rewards
    torch.testing.assert_close(scores, pooled @ model.head.weight[0], rtol=1e-5, atol=1e-5)


def test_every_trained_weight_gets_a_gradient() -> None:
    model = RewardModel(bert(), letters(), pooling="mean")
    model.draw_head(Seed(1))
    model(pack(PAIRS, share_prompts=False), REWARDS).rewards.square().sum().backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_offset_is_taken_off_every_score() -> None:
    model = RewardModel(make("llama").base_model, letters())
    model.draw_head(Seed(1))
    before = model(pack(PAIRS), REWARDS).rewards
    model.offset.fill_(2.5)
    torch.testing.assert_close(model(pack(PAIRS), REWARDS).rewards, before - 2.5)


def test_fresh_heads_are_drawn_from_the_seed() -> None:
    model = RewardModel(make("llama").base_model, letters())
    assert model(pack(PAIRS), REWARDS).rewards.tolist() == [0.0] * 6
    model.draw_head(Seed(1))
    first = model.head.weight.clone()
    model.draw_head(Seed(1))
    assert torch.equal(model.head.weight, first)
    model.draw_head(Seed(2))
    assert not torch.equal(model.head.weight, first)
    # Variance 1 / (32 + 1): over 32 draws the sum of squares is near 1.
    assert 0.4 < first.square().sum() < 1.8
