"""The work that both sides do: random models, random pairs of known lengths. Needs no Fairlead."""

import ctypes
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BETA = 0.1
LEARNING_RATE = 1e-6
MAX_GRAD_NORM = 1.0


@dataclass(frozen=True)
class Size:
    """A model and how much preference data it is trained on."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    pairs: int
    batch: int
    """Pairs per optimizer step."""


SIZES = {
    "S": Size(256, 4, 4, 688, 4096, pairs=64, batch=16),
    "M": Size(512, 8, 8, 1376, 8192, pairs=16, batch=8),
}


@dataclass(frozen=True)
class Pair:
    """A prompt and two replies as tokens; both replies end with EOS."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


EOS, PAD = 0, 1
_SPECIAL = ["</s>", "<pad>"]


def make_model(size: Size, folder: Path) -> None:
    """Saves a Llama with random weights (seed 0) and a tokenizer in which a word is a token."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        intermediate_size=size.intermediate,
        vocab_size=size.vocabulary,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words = {word(i): i for i in range(size.vocabulary)}
    tokenizer = Tokenizer(WordLevel(words, unk_token=_SPECIAL[PAD]))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=_SPECIAL[EOS], pad_token=_SPECIAL[PAD]
    ).save_pretrained(folder)


def word(token: int) -> str:
    """The text of a token."""
    return _SPECIAL[token] if token < len(_SPECIAL) else f"w{token}"


def text(tokens: Iterable[int]) -> str:
    """Text that tokenises to these tokens."""
    return " ".join(map(word, tokens))


def make_pairs(size: Size) -> list[Pair]:
    """Random pairs with log-normal lengths (seed 1234)."""
    rng = np.random.default_rng(1234)

    def lengths(median: float, sigma: float, low: int, high: int) -> list[int]:
        drawn = rng.lognormal(np.log(median), sigma, size.pairs).round()
        return np.clip(drawn, low, high).astype(int).tolist()

    def tokens(count: int) -> list[int]:
        return rng.integers(len(_SPECIAL), size.vocabulary, count).tolist()

    prompts = lengths(112, 0.5, 64, 256)
    chosen, rejected = lengths(72, 0.7, 32, 256), lengths(64, 0.7, 32, 256)
    return [
        Pair(tokens(p), [*tokens(c - 1), EOS], [*tokens(r - 1), EOS])
        for p, c, r in zip(prompts, chosen, rejected, strict=True)
    ]


def digest(pairs: Iterable[Pair]) -> str:
    """Equal for equal tokens in equal order."""
    rows = [[p.prompt, p.chosen, p.rejected] for p in pairs]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def resident_mib() -> float:
    """Memory of this process now, in MiB."""
    return _status("VmRSS")


def peak_mib() -> float:
    """The most memory that this process ever had, in MiB."""
    return _status("VmHWM")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def machine_busy() -> float:
    """CPU seconds that all processes of the machine have used since it started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split()[1:9]]
    idle, waiting = fields[3:5]
    return (sum(fields) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def keep_freed_memory() -> None:
    """What Fairlead does by itself, for a peer that does not: glibc keeps what is freed."""
    mallopt = ctypes.CDLL(None).mallopt
    assert all(mallopt(n, v) == 1 for n, v in ((-4, 0), (-1, -1), (-2, 64 * 2**20)))
