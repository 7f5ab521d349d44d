"""A recorded step gives the modules' logits for any model, at any time and for any rows."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_policies import LLAMA_LIKE, PROMPTS, SIZES, gpt2, letters, llama, qwen3
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    GemmaConfig,
    GPTNeoXConfig,
    MistralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    Qwen2Config,
    StableLmConfig,
    Starcoder2Config,
)

from fairlead.core.seeds import Seed
from fairlead.generation import products, recording
from fairlead.generation.decoders import PackedDecoder
from fairlead.generation.local import LocalEngine
from fairlead.generation.recording import Recording, known
from fairlead.generation.sampling import Sampling
from fairlead.generation.simplify import Joint
from fairlead.models.policy import Policy

ROOM = 40
FREE = Sampling(max_new_tokens=30)


@pytest.fixture(autouse=True, params=[0, 1 << 23], ids=["memory", "caches"])
def every_layer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny layers are joined too, whether their weights are taken to come from memory or not."""
    monkeypatch.setattr(products, "SMALL", 0)
    monkeypatch.setattr(products, "CACHED", request.param)
    recording._of_structure.cache_clear()


def family(config: type, **changes: Any) -> Callable[[], Any]:
    def make() -> Any:
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(
            config(**LLAMA_LIKE | {"pad_token_id": 0} | changes)
        )

    return make


FAMILIES: dict[str, Callable[[], Any]] = {
    "llama": llama,
    "llama with biases": lambda: llama(attention_bias=True, mlp_bias=True),
    "gpt2": gpt2,
    "qwen3": qwen3,
    "qwen2": family(Qwen2Config),
    "mistral": family(MistralConfig, sliding_window=None),
    "gemma": family(GemmaConfig, head_dim=8),
    "phi": family(PhiConfig, partial_rotary_factor=0.5),
    "phi3": family(Phi3Config),
    "olmo2": family(Olmo2Config),
    "cohere": family(CohereConfig),
    "stablelm": family(StableLmConfig),
    "starcoder2": family(Starcoder2Config, sliding_window=None),
    "gpt_neox": family(GPTNeoXConfig),
    "opt": lambda: AutoModelForCausalLM.from_config(
        OPTConfig(
            **SIZES, ffn_dim=48, max_position_embeddings=96, word_embed_proj_dim=32, init_std=0.25
        )
    ),
}


def decoder_of(model: Any) -> PackedDecoder:
    policy = Policy(model, letters()).eval()
    assert policy.trunk.packs
    return PackedDecoder(policy)


def both(decoder: PackedDecoder, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of one step by the modules and by the decoder's own way."""
    assert decoder.cache is not None
    by_modules = decoder._modules(tokens, decoder.positions, decoder.cache)
    return by_modules, decoder.step(tokens)


@torch.no_grad()
@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_recorded_steps_give_the_logits_of_the_modules(make: Callable[[], Any]) -> None:
    decoder = decoder_of(make())
    decoder.join(PROMPTS, (0, 0, 1, 3), ROOM)
    decoder.step(torch.tensor([4, 5, 6, 7]))
    assert recordings(decoder) == 1
    stays = {3: [0, 2, 3], 7: [1], 11: [0]}
    random = torch.Generator().manual_seed(1)
    for step in range(14):
        if step in stays:
            decoder.keep(torch.tensor(stays[step]))
        if step == 9:
            decoder.join(PROMPTS, tuple(range(4)) * 40, ROOM)  # more rows than blocks are for
        rows = len(decoder.positions)
        expected, got = both(decoder, torch.randint(20, (rows,), generator=random))
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert recordings(decoder) == 1


def recordings(decoder: PackedDecoder) -> int:
    found = known(decoder.policy.model)
    assert not found.refused
    return len(found.recordings)


def operations(model: Any) -> tuple[Counter[str], Recording]:
    made = Recording(model, decoder_of(model)._modules, model.config.num_hidden_layers)
    nodes = made.code.__self__.graph.nodes  # pyright: ignore
    return Counter(str(getattr(n.target, "__name__", n.target)) for n in nodes), made


def test_a_llama_layer_is_four_products_and_few_operations() -> None:
    calls, made = operations(llama())
    joints = [held for held in made.constants if isinstance(held, Joint)]
    assert [len(joint.weights) for joint in joints] == [3, 1, 2, 1] * 2 + [1]
    assert calls["_of_unit_mean_square"] == 2 * 2 + 1
    assert calls["roll"] == calls["addcmul"] == 2 * 2
    assert calls["cos"] == calls["sin"] == 1
    assert calls["rsqrt"] == calls["neg"] == calls["to.dtype"] - 1 == 0
    assert calls["cat"] == 1


def test_the_norms_of_queries_and_keys_are_joined_too() -> None:
    calls, _ = operations(qwen3())
    assert calls["_of_unit_mean_square"] == 4 * 2 + 1


@torch.no_grad()
def test_present_weights_count() -> None:
    model = llama()
    for factor in (1.0, 1.3, 0.7):
        for parameter in model.parameters():
            parameter.mul_(factor)
        decoder = decoder_of(model)
        decoder.join(PROMPTS, (0, 1, 2, 3), ROOM)
        decoder.step(torch.tensor([4, 5, 6, 7]))
        expected, got = both(decoder, torch.tensor([7, 8, 9, 2]))
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
        assert recordings(decoder) == 1


def test_adapters_on_and_off_have_a_recording_each() -> None:
    torch.manual_seed(4)
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    policy = Policy(get_peft_model(llama(), lora), letters())
    bare = Policy(llama(), letters())
    with_adapters = LocalEngine(policy).sample(PROMPTS, FREE, n=2, seed=Seed(1))
    with policy.as_reference():
        without = LocalEngine(policy).sample(PROMPTS, FREE, n=2, seed=Seed(1))
    again = LocalEngine(policy).sample(PROMPTS, FREE, n=2, seed=Seed(1))
    expected = LocalEngine(bare).sample(PROMPTS, FREE, n=2, seed=Seed(1))
    assert [r.tokens for r in without] == [r.tokens for r in expected]
    assert again == with_adapters
    assert [r.tokens for r in again] != [r.tokens for r in without]
    assert recordings(PackedDecoder(policy)) == 2


def test_what_depends_on_data_stays_with_the_modules(caplog: pytest.LogCaptureFixture) -> None:
    model = llama()
    body = model.model.layers[0].mlp
    plain = body.forward
    body.forward = lambda x: plain(x) if float(x.abs().max()) > 0.01 else x
    policy = Policy(model, letters())
    with caplog.at_level(logging.INFO):
        got = LocalEngine(policy).sample(PROMPTS, FREE, n=2, seed=Seed(1))
    assert "LlamaForCausalLM is decoded by its modules" in caplog.text
    expected = LocalEngine(Policy(llama(), letters())).sample(PROMPTS, FREE, n=2, seed=Seed(1))
    assert [r.tokens for r in got] == [r.tokens for r in expected]


@torch.no_grad()
def test_short_replies_are_not_worth_a_recording() -> None:
    decoder = decoder_of(llama())
    for room in (14, ROOM):
        assert recordings(decoder) == 0
        decoder = decoder_of(llama())
        decoder.join(PROMPTS, (0, 1, 2, 3), room)
        decoder.step(torch.tensor([4, 5, 6, 7]))
    assert recordings(decoder) == 1


def test_samples_do_not_depend_on_what_was_sampled_before() -> None:
    """Bit for bit, as a resumed run needs."""
    policy = Policy(llama(), letters())
    first = LocalEngine(policy).sample(PROMPTS, FREE, n=2, seed=Seed(1))
    again = LocalEngine(policy).sample(PROMPTS, FREE, n=2, seed=Seed(1))
    recording._of_structure.cache_clear()
    LocalEngine(Policy(llama(), letters())).sample(PROMPTS[:1], FREE, n=40, seed=Seed(2))
    later = LocalEngine(policy).sample(PROMPTS, FREE, n=2, seed=Seed(1))
    assert first == again == later  # log-probabilities too


@torch.no_grad()
@pytest.mark.parametrize("make", [llama, gpt2, qwen3])
def test_models_of_one_structure_share_a_recording(make: Callable[[], Any]) -> None:
    first, second = make(), make()
    for parameter in second.parameters():
        parameter.mul_(1.3)
    for model in (first, second, first):
        decoder = decoder_of(model)
        decoder.join(PROMPTS, (0, 1, 2, 3), ROOM)
        decoder.step(torch.tensor([4, 5, 6, 7]))
        expected, got = both(decoder, torch.tensor([7, 8, 9, 2]))
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
        assert recordings(decoder) == 1
    made = known(first).recordings[0]
    large = [t for t in tensors_of(made) if t.numel() >= 32 * 8]
    assert large == []  # the weights are named, not kept


def tensors_of(made: Recording) -> list[Tensor]:
    parts = [
        [*one.weights, *(one.biases or ())] if isinstance(one, Joint) else [one]
        for one in made.constants
    ]
    return [tensor for own in parts for tensor in own if isinstance(tensor, Tensor)]


def test_a_changed_module_makes_another_structure() -> None:
    plain, hooked, patched = llama(), llama(), llama()
    hooked.model.layers[0].mlp.register_forward_hook(lambda *_: None)
    patched.model.layers[0].mlp.forward = patched.model.layers[0].mlp.forward
    assert known(plain) is known(llama())
    assert len({id(known(model)) for model in (plain, hooked, patched)}) == 3
    assert known(plain) is not known(qwen3())


def test_a_model_that_is_dropped_is_gone_though_its_recording_stays() -> None:
    import gc
    import weakref

    policy = Policy(llama(), letters())
    LocalEngine(policy).sample(PROMPTS, FREE, n=1, seed=Seed(1))
    kept = known(policy.model).recordings
    assert len(kept) == 1
    watched = [weakref.ref(p) for p in (policy.model, *policy.model.parameters())]
    del policy
    gc.collect()
    assert [watch() for watch in watched] == [None] * len(watched)
