"""Blocked weights give the results of plain ones, and nothing of them stays behind."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_policies import PROMPTS, gpt2, letters, llama, qwen3
from torch import Tensor, nn

from fairlead.core.seeds import Seed
from fairlead.data.batches import pack
from fairlead.data.chat import Item
from fairlead.generation import products
from fairlead.generation.local import LocalEngine
from fairlead.generation.products import FEW, BlockedLayers
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need

FREE = Sampling(max_new_tokens=30)


@pytest.fixture(autouse=True)
def every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny layers count too."""
    monkeypatch.setattr(products, "SMALL", 0)


def tied_llama() -> Any:
    return llama(tie_word_embeddings=True, attention_bias=True, mlp_bias=True)


@torch.no_grad()
@pytest.mark.parametrize("make", [llama, tied_llama, gpt2, qwen3])
@pytest.mark.parametrize("rows", [1, 2, 3, 8, 33, FEW, FEW + 1])
@pytest.mark.parametrize("cached", [0, 1 << 23])
def test_logits_are_the_same_for_any_number_of_rows(
    make: Callable[[], Any], rows: int, cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "CACHED", cached)
    model = make().eval()
    ids = torch.arange(rows)[:, None] % 20
    expected = model(ids).logits
    with BlockedLayers(model):
        torch.testing.assert_close(model(ids).logits, expected, rtol=0, atol=1e-5)
    assert all("forward" not in module.__dict__ for module in model.modules())


@torch.no_grad()
def test_every_linear_layer_takes_part() -> None:
    model, rows = llama().eval(), torch.arange(8)[:, None]
    layers = BlockedLayers(model)
    with layers:
        model(rows)
    assert set(layers.products) == {m for m in model.modules() if isinstance(m, nn.Linear)}
    assert sum(product.blocks is None for product in layers.products.values()) == 0
    assert len(layers.products) == 2 * 7 + 1


@torch.no_grad()
def test_present_weights_are_blocked_each_time() -> None:
    model, rows = tied_llama().eval(), torch.arange(8)[:, None]
    with BlockedLayers(model):
        before: Tensor = model(rows).logits
    for parameter in model.parameters():
        parameter.mul_(1.5)
    expected = model(rows).logits
    assert float((expected - before).abs().max()) > 1
    with BlockedLayers(model):
        torch.testing.assert_close(model(rows).logits, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_other_precisions_and_own_forwards_are_left_alone() -> None:
    model: Any = llama().double()
    model.model.layers[0].mlp.up_proj.float().forward = lambda x: x
    with BlockedLayers(model):
        touched = [m for m in model.modules() if "forward" in m.__dict__]
    assert touched == [model.model.layers[0].mlp.up_proj]


@pytest.mark.parametrize("make", [llama, tied_llama, gpt2])
def test_replies_are_those_of_plain_weights(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Policy(make(), letters())
    fast = LocalEngine(policy).sample(PROMPTS, FREE, n=3, seed=Seed(4))
    monkeypatch.setattr(products, "SMALL", 1 << 40)
    plain = LocalEngine(policy).sample(PROMPTS, FREE, n=3, seed=Seed(4))
    assert [r.tokens for r in fast] == [r.tokens for r in plain]


def test_adapters_take_part_and_can_be_switched_off() -> None:
    torch.manual_seed(4)
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    ids, plain = torch.arange(8)[:, None], llama().eval()
    model = get_peft_model(llama(), lora).eval()
    with torch.no_grad():
        expected, without = model(ids).logits, plain(ids).logits
        with BlockedLayers(model):
            torch.testing.assert_close(model(ids).logits, expected, rtol=0, atol=1e-5)
            with model.disable_adapter():
                torch.testing.assert_close(model(ids).logits, without, rtol=0, atol=1e-5)
    assert float((expected - without).abs().max()) > 0.1


def test_training_goes_on_after_sampling() -> None:
    policy = Policy(tied_llama(), letters())
    replies = LocalEngine(policy).sample(PROMPTS, FREE, n=1, seed=Seed(4))
    packed = pack([Item(r.prompt, (r.tokens,)) for r in replies])
    policy(packed, frozenset({Need.LOGPS})).logps.sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in policy.parameters())
