"""Tiny random models of many families, and log-probabilities by transformers alone."""

import string
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    BloomConfig,
    BloomForCausalLM,
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from fairlead.core.seeds import Seed
from fairlead.data.chat import Item
from fairlead.models.attention import SMALL

SYMBOLS = ["<eos>", "<bos>", *string.ascii_lowercase, " ", ".", ",", "\n"]
EOS, BOS = 0, 1
CONTEXT = 512

SIZES: dict[str, Any] = {
    "vocab_size": len(SYMBOLS),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "eos_token_id": EOS,
    "bos_token_id": BOS,
    "pad_token_id": EOS,
}
UNEVEN: dict[str, Any] = {"initializer_range": 0.2}
"""Weights large enough for distributions to be far from uniform."""
LLAMA_LIKE: dict[str, Any] = {
    **SIZES,
    **UNEVEN,
    "intermediate_size": 48,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}


def letters() -> PreTrainedTokenizerFast:
    """One token per character."""
    tokenizer = Tokenizer(models.BPE({s: i for i, s in enumerate(SYMBOLS)}, []))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", bos_token="<bos>", pad_token="<eos>"
    )


def llama(**changes: Any) -> LlamaForCausalLM:
    """Grouped heads."""
    return LlamaForCausalLM(LlamaConfig(**LLAMA_LIKE | changes))


def gpt2(dropout: float = 0.1) -> GPT2LMHeadModel:
    """Learned absolute positions."""
    rates = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}
    return GPT2LMHeadModel(GPT2Config(**SIZES | UNEVEN | rates, n_positions=CONTEXT))


def gemma2(**changes: Any) -> Gemma2ForCausalLM:
    """Capped logits; capped attention too, unless changed."""
    return Gemma2ForCausalLM(Gemma2Config(**LLAMA_LIKE | {"head_dim": 8} | changes))


def opt(dropout: float = 0.1) -> OPTForCausalLM:
    return OPTForCausalLM(
        OPTConfig(
            **SIZES,
            init_std=0.2,
            ffn_dim=48,
            max_position_embeddings=CONTEXT,
            word_embed_proj_dim=32,
            dropout=dropout,
        )
    )


def bloom(dropout: float = 0.1) -> BloomForCausalLM:
    return BloomForCausalLM(
        BloomConfig(**SIZES | UNEVEN, hidden_dropout=dropout, attention_dropout=dropout)
    )


FAMILIES: dict[str, Callable[[], Any]] = {
    "llama": llama,
    "gpt2": gpt2,
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**LLAMA_LIKE, head_dim=8)),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**LLAMA_LIKE, head_dim=8)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**LLAMA_LIKE, sliding_window=400)),
    "opt": opt,
    "cohere": lambda: CohereForCausalLM(CohereConfig(**LLAMA_LIKE, logit_scale=0.5)),
    "gemma2": gemma2,
    "gemma2 with free attention": lambda: gemma2(
        attn_logit_softcapping=None, final_logit_softcapping=2.0
    ),
    "bloom": bloom,
}

RUN_PADDED = {"gemma2", "bloom"}
"""Attention capped or not through the interface: these cannot be packed."""

HEAD_IS_MORE = {"gemma2", "gemma2 with free attention", "cohere"}
"""Logits are more than hidden states times a matrix."""


def make(family: str) -> Any:
    """A model of a family, the same at every call, without dropout at work."""
    torch.manual_seed(0)
    return FAMILIES[family]().eval()


def bert() -> BertModel:
    """A bidirectional encoder."""
    torch.manual_seed(0)
    return BertModel(
        BertConfig(**SIZES | UNEVEN, intermediate_size=48, max_position_embeddings=CONTEXT)
    ).eval()


def items(
    sizes: Sequence[tuple[int, Sequence[int]]], *, ranked: bool = True, seed: int = 0
) -> list[Item]:
    """Random prompts and replies of given lengths; earlier replies rank better."""
    random = Seed(seed).numpy()

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(random.integers(2, len(SYMBOLS), count).tolist())

    return [
        Item(
            (BOS, *tokens(prompt - 1)),
            tuple((*tokens(n - 1), EOS) for n in replies),
            tuple(range(len(replies))) if ranked else (0,) * len(replies),
            record,
        )
        for record, (prompt, replies) in enumerate(sizes)
    ]


PAIR_SIZES = [(6, (4, 7)), (1, (3, 1)), (11, (2, 9))]
MIXED_SIZES = [
    *PAIR_SIZES,
    (SMALL // 2, (50, 60)),
    (5, (SMALL + 10, 3)),
    (SMALL + 30, (4, 8, 2)),
    (3, (2, 2)),
]
"""Short trees, long prompts and long replies in one pack."""
PAIRS = items(PAIR_SIZES)


def padded_batch(chosen: Sequence[Item]) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """Every prompt with every reply, right-padded: ids, mask, and (prompt, reply) lengths."""
    pairs = [(item.prompt, response) for item in chosen for response in item.responses]
    longest = max(len(prompt) + len(response) for prompt, response in pairs)
    ids = torch.full((len(pairs), longest), EOS)
    mask = torch.zeros_like(ids)
    for row, (prompt, response) in enumerate(pairs):
        whole = torch.tensor((*prompt, *response))
        ids[row, : len(whole)], mask[row, : len(whole)] = whole, 1
    return ids, mask, [(len(prompt), len(response)) for prompt, response in pairs]


def padded_logps(model: Any, chosen: Sequence[Item], temperature: float = 1.0) -> list[Tensor]:
    """Log-probability of each reply token by the model's own forward on a padded batch."""
    ids, mask, lengths = padded_batch(chosen)
    logits = model(input_ids=ids, attention_mask=mask).logits.float() / temperature
    logps = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)
    return [
        logps[row, prompt - 1 : prompt - 1 + reply] for row, (prompt, reply) in enumerate(lengths)
    ]
