"""Tiny random policies and an independent greedy decoder to compare with."""

import copy
import string
from collections.abc import Callable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from fairlead.models.policy import Policy

SYMBOLS = ["$", "^", *string.ascii_lowercase, " ", ".", ",", "\n"]
EOS, BOS = 0, 1
CONTEXT = 96

SIZES: dict[str, Any] = {
    "vocab_size": len(SYMBOLS),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "eos_token_id": EOS,
    "bos_token_id": BOS,
}
UNEVEN: dict[str, Any] = {"initializer_range": 0.25}
"""Weights large enough for distributions to be uneven."""
LLAMA_LIKE: dict[str, Any] = {
    **SIZES,
    **UNEVEN,
    "intermediate_size": 48,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}

PROMPTS = ((1, 5, 9, 4), (1, 7), (1, 3, 3, 8, 20, 11, 6, 2, 17), (1, 12, 13, 14))


def letters() -> PreTrainedTokenizerFast:
    """One token per character."""
    tokenizer = Tokenizer(models.BPE({s: i for i, s in enumerate(SYMBOLS)}, []))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="$", bos_token="^", pad_token="$"
    )


def llama(**changes: Any) -> LlamaForCausalLM:
    """Grouped heads."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**LLAMA_LIKE | changes))


def mistral(*, sliding_window: int) -> MistralForCausalLM:
    """A window in every layer."""
    torch.manual_seed(0)
    return MistralForCausalLM(MistralConfig(**LLAMA_LIKE, sliding_window=sliding_window))


def qwen3() -> Qwen3ForCausalLM:
    """Norms on queries and keys; heads wider than their share; tied head."""
    torch.manual_seed(0)
    return Qwen3ForCausalLM(Qwen3Config(**LLAMA_LIKE, head_dim=16, tie_word_embeddings=True))


def gemma2() -> Gemma2ForCausalLM:
    """Capped attention, capped logits, and a sliding window of 8 in one of two layers."""
    torch.manual_seed(2)
    return Gemma2ForCausalLM(
        Gemma2Config(
            **LLAMA_LIKE,
            head_dim=8,
            sliding_window=8,
            final_logit_softcapping=3.0,
            attn_implementation="eager",
        )
    )


def gpt2() -> GPT2LMHeadModel:
    """Learned absolute positions."""
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(**SIZES, **UNEVEN, n_positions=CONTEXT))


def bloom() -> BloomForCausalLM:
    """Positions only through attention biases; takes no position ids."""
    torch.manual_seed(2)
    return BloomForCausalLM(BloomConfig(**SIZES, **UNEVEN))


def mamba2() -> Mamba2ForCausalLM:
    """No attention at all."""
    torch.manual_seed(2)
    return Mamba2ForCausalLM(
        Mamba2Config(
            vocab_size=len(SYMBOLS),
            hidden_size=32,
            state_size=8,
            num_hidden_layers=2,
            num_heads=8,
            head_dim=8,
            n_groups=1,
            chunk_size=8,
            eos_token_id=EOS,
        )
    )


def padded(model: Any) -> Policy:
    """A policy forced onto the padded path."""
    policy = Policy(model, letters())
    policy.trunk.packs = False
    model.set_attn_implementation("sdpa")
    return policy


MAKERS: dict[str, Callable[[], Policy]] = {
    "llama": lambda: Policy(llama(), letters()),
    "gpt2": lambda: Policy(gpt2(), letters()),
    "padded llama": lambda: padded(llama()),
    "padded gpt2": lambda: padded(gpt2()),
}


def huggingface_greedy(policy: Policy, prompt: tuple[int, ...], tokens: int) -> tuple[int, ...]:
    """What `generate` of transformers says, for one prompt without padding."""
    twin = copy.deepcopy(policy.model).eval()
    if policy.trunk.packs:
        twin.set_attn_implementation("sdpa")
    ids = torch.tensor([prompt])
    out = twin.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=tokens,
        pad_token_id=EOS,
    )
    return tuple(out[0, len(prompt) :].tolist())
