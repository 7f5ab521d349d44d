"""What is saved comes back bit for bit, and what is wrong is refused with a remedy."""

import errno
import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from tiny_models import EOS, PAIRS, bert, letters, llama, make
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from fairlead.core.errors import CheckpointError, ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.batches import pack
from fairlead.models.heads import Ensemble
from fairlead.models.loading import (
    Lora,
    fingerprint,
    load_policy,
    load_reward_model,
    new_reward_model,
    require_same_base,
    restore,
    save,
    save_policy,
    save_reward_model,
)
from fairlead.models.policy import Policy
from fairlead.objectives import Need

LOGPS = frozenset({Need.LOGPS})
REWARDS = frozenset({Need.REWARDS})
VALUES = frozenset({Need.VALUES})
PACKED = pack(PAIRS)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A pretrained model as it is downloaded."""
    folder = tmp_path / "base"
    make("llama").save_pretrained(folder)
    letters().save_pretrained(folder)
    return folder


def shake(module: nn.Module, names: str = "") -> None:
    """Stands in for training."""
    for name, parameter in module.named_parameters():
        if names in name and parameter.requires_grad:
            parameter.data += torch.linspace(-0.3, 0.4, parameter.numel()).view_as(parameter)


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    mine, yours = one.state_dict(), other.state_dict()
    assert mine.keys() == yours.keys()
    for name, weight in mine.items():
        assert torch.equal(weight, yours[name]), name


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_policy_comes_back_bit_for_bit(tmp_path: Path, family: str) -> None:
    policy = Policy(make(family), letters(), base="abc")
    shake(policy, "mlp")
    save_policy(policy, tmp_path / "saved")
    again = load_policy(tmp_path / "saved")
    assert_same_weights(again, policy)
    assert again.base == "abc" and again.tokenizer.eos_token_id == EOS
    assert torch.equal(again(PACKED, LOGPS).logps, policy(PACKED, LOGPS).logps)


def test_a_saved_policy_is_an_ordinary_transformers_model(base: Path, tmp_path: Path) -> None:
    policy = load_policy(base)
    shake(policy)
    save(policy, tmp_path / "saved")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert_same_weights(model, policy.model)
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").get_vocab() == letters().get_vocab()
    config = (tmp_path / "saved" / "config.json").read_text()
    assert "fairlead" not in config  # nothing there needs this package


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_saved_lora_policy_has_its_adapters_added_in(tmp_path: Path, family: str) -> None:
    policy = Policy(Lora(rank=4).wrap(make(family)), letters(), base="abc")
    shake(policy)
    save(policy, tmp_path / "saved")
    again = load_policy(tmp_path / "saved")
    assert again.base == "abc" and not again.adapts
    expected = policy(PACKED, LOGPS).logps
    torch.testing.assert_close(again(PACKED, LOGPS).logps, expected, rtol=1e-5, atol=1e-5)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert_same_weights(plain, again.model)
    untouched = make(family).get_input_embeddings().weight
    assert torch.equal(plain.get_input_embeddings().weight, untouched)
    on_base = PeftModel.from_pretrained(make(family), str(tmp_path / "saved" / "adapter"))
    mine, yours = (get_peft_model_state_dict(m) for m in (policy.model, on_base))
    assert mine.keys() == yours.keys() and all(torch.equal(mine[n], yours[n]) for n in mine)


def test_adapters_can_follow_adapters(base: Path, tmp_path: Path) -> None:
    first = load_policy(base, lora=Lora(rank=4))
    shake(first)
    save(first, tmp_path / "sft")
    second = load_policy(tmp_path / "sft", lora=Lora(rank=4))
    expected = first(PACKED, LOGPS).logps
    torch.testing.assert_close(second(PACKED, LOGPS).logps, expected, rtol=1e-5, atol=1e-5)
    shake(second, "lora_B")
    save(second, tmp_path / "dpo")
    third = load_policy(tmp_path / "dpo")
    expected = second(PACKED, LOGPS).logps
    torch.testing.assert_close(third(PACKED, LOGPS).logps, expected, rtol=1e-4, atol=1e-4)
    reward_model = new_reward_model(tmp_path / "dpo", seed=Seed(1))
    assert reward_model.base == third.base == first.base
    assert_same_weights(reward_model.model, third.model.base_model)


@pytest.mark.parametrize("value", ["none", "shared", "separate"])
@pytest.mark.parametrize("lora", [None, Lora(rank=4)])
def test_restored_weights_are_the_saved_ones(
    base: Path, tmp_path: Path, value: str, lora: Lora | None
) -> None:
    policy = load_policy(base, lora=lora, value=value)  # pyright: ignore
    shake(policy)
    save(policy, tmp_path / "saved")
    fresh = load_policy(base, lora=lora, value=value)  # pyright: ignore
    restore(fresh, tmp_path / "saved")
    assert_same_weights(fresh, policy)
    trained = [n for n, p in policy.named_parameters() if p.requires_grad]
    assert [n for n, p in fresh.named_parameters() if p.requires_grad] == trained


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_reward_model_comes_back_bit_for_bit(tmp_path: Path, pooling: str) -> None:
    trunk = make("llama") if pooling == "last" else bert()
    trunk.save_pretrained(tmp_path / "base")
    letters().save_pretrained(tmp_path / "base")
    model = new_reward_model(tmp_path / "base", seed=Seed(1))
    assert model.pooling == pooling
    shake(model)
    model.offset.fill_(0.7)
    save_reward_model(model, tmp_path / "saved")
    again = load_reward_model(tmp_path / "saved")
    assert_same_weights(again, model)
    assert (again.pooling, again.base) == (model.pooling, model.base)
    packed = pack(PAIRS, share_prompts=model.shares_prompts)
    assert torch.equal(again(packed, REWARDS).rewards, model(packed, REWARDS).rewards)
    assert_same_weights(AutoModel.from_pretrained(tmp_path / "saved"), model.model)
    fresh = new_reward_model(tmp_path / "base", seed=Seed(2))
    restore(fresh, tmp_path / "saved")
    assert_same_weights(fresh, model)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_reward_model_may_be_adapters_and_a_head(tmp_path: Path, pooling: str) -> None:
    trunk = make("llama") if pooling == "last" else bert()
    trunk.save_pretrained(tmp_path / "base")
    letters().save_pretrained(tmp_path / "base")
    whole = new_reward_model(tmp_path / "base", seed=Seed(1))
    model = new_reward_model(tmp_path / "base", lora=Lora(rank=4), seed=Seed(1))
    packed = pack(PAIRS, share_prompts=model.shares_prompts)
    assert (model.pooling, model.base) == (whole.pooling, whole.base)
    assert torch.equal(model(packed, REWARDS).rewards, whole(packed, REWARDS).rewards)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in n or n.startswith("head.") for n in trained)
    assert {"head.weight", "head.bias"} < trained
    shake(model, "lora_B")
    save_reward_model(model, tmp_path / "saved")
    expected = model(packed, REWARDS).rewards
    assert float((expected - whole(packed, REWARDS).rewards).detach().abs().max()) > 0.01
    merged = load_reward_model(tmp_path / "saved")
    assert not merged.adapts
    torch.testing.assert_close(merged(packed, REWARDS).rewards, expected, rtol=1e-4, atol=1e-4)
    fresh = new_reward_model(tmp_path / "base", lora=Lora(rank=4), seed=Seed(2))
    restore(fresh, tmp_path / "saved")
    assert torch.equal(fresh(packed, REWARDS).rewards, expected)


def test_a_reward_model_can_go_on_from_another(base: Path, tmp_path: Path) -> None:
    first = new_reward_model(base, seed=Seed(1))
    shake(first)
    save_reward_model(first, tmp_path / "first")
    second = new_reward_model(tmp_path / "first", seed=Seed(2))
    assert_same_weights(second, first)
    assert (second.pooling, second.base) == (first.pooling, first.base)
    other = new_reward_model(tmp_path / "first", head=Ensemble(members=2), seed=Seed(2))
    assert_same_weights(other.model, first.model)
    assert other.head.weight.shape == (2, first.head.weight.shape[1])


def test_fingerprint_follows_every_weight() -> None:
    model, same = make("llama"), make("llama")
    assert fingerprint(model) == fingerprint(same)
    same.model.norm.weight.data[3] += 1e-6
    assert fingerprint(model) != fingerprint(same)


def test_descendants_keep_the_base_of_their_ancestor(base: Path, tmp_path: Path) -> None:
    policy = load_policy(base)
    assert policy.base == fingerprint(make("llama"))
    shake(policy)
    save(policy, tmp_path / "sft")
    descendant = load_policy(tmp_path / "sft")
    reward_model = new_reward_model(tmp_path / "sft", seed=Seed(1))
    assert descendant.base == reward_model.base == policy.base != fingerprint(descendant.model)
    assert new_reward_model(base, seed=Seed(1)).base == policy.base
    assert load_policy(base, lora=Lora(rank=2)).base == policy.base
    require_same_base(reward_model, descendant)


def test_a_reward_model_of_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    llama().save_pretrained(tmp_path / "other")
    letters().save_pretrained(tmp_path / "other")
    policy, stranger = load_policy(base), new_reward_model(tmp_path / "other", seed=Seed(1))
    with pytest.raises(ConfigError, match="another base model") as refused:
        require_same_base(stranger, policy)
    assert refused.value.expected == f"base {policy.base[:12]}"
    require_same_base(stranger, policy, allowed=True)


def test_damaged_weights_are_named(base: Path) -> None:
    weights = base / "model.safetensors"
    whole = weights.read_bytes()
    for damage in (whole[: len(whole) // 2], b"\xff" * 100, b""):
        weights.write_bytes(damage)
        with pytest.raises(CheckpointError, match="damaged") as refused:
            load_policy(base)
        assert refused.value.where == str(base)


def test_damaged_heads_are_named(base: Path, tmp_path: Path) -> None:
    model = new_reward_model(base, seed=Seed(1))
    save(model, tmp_path / "saved")
    (tmp_path / "saved" / "reward_head.safetensors").write_bytes(b"\x00" * 9)
    with pytest.raises(CheckpointError, match="damaged"):
        load_reward_model(tmp_path / "saved")
    with pytest.raises(CheckpointError, match="damaged"):
        restore(model, tmp_path / "saved")


def test_weights_of_another_shape_are_not_restored(base: Path, tmp_path: Path) -> None:
    save(load_policy(base), tmp_path / "saved")
    wider = Policy(llama(intermediate_size=64), letters())
    with pytest.raises(CheckpointError, match="of another shape"):
        restore(wider, tmp_path / "saved")


def test_a_missing_folder_is_a_setting_to_correct(tmp_path: Path) -> None:
    for load in (load_policy, lambda path: new_reward_model(path, seed=Seed(1))):
        with pytest.raises(ConfigError, match="no such model folder") as refused:
            load(tmp_path / "nowhere")
        assert refused.value.where == str(tmp_path / "nowhere")


def test_a_folder_without_a_model_is_a_setting_to_correct(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"a": 1}))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_policy(tmp_path)


def test_kinds_are_not_confused(base: Path, tmp_path: Path) -> None:
    save(new_reward_model(base, seed=Seed(1)), tmp_path / "reward")
    save(load_policy(base), tmp_path / "policy")
    with pytest.raises(ConfigError, match="holds a reward model, not a policy"):
        load_policy(tmp_path / "reward")
    for folder in (base, tmp_path / "policy"):
        with pytest.raises(ConfigError, match="holds no reward model"):
            load_reward_model(folder)


def test_a_failed_save_leaves_the_old_folder(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy(base)
    save(policy, tmp_path / "saved")
    before = (tmp_path / "saved" / "model.safetensors").read_bytes()
    shake(policy)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(policy.tokenizer, "save_pretrained", full)
        with pytest.raises(CheckpointError, match="cannot write saved: No space left"):
            save(policy, tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base", "saved"]
    save(policy, tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").read_bytes() != before
