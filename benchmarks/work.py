"""The work that all sides do: random models, random data of known lengths. Needs no Fairlead."""

import ctypes
import hashlib
import json
import os
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BETA = 0.1
LEARNING_RATE = 1e-6
MAX_GRAD_NORM = 1.0
GROUP = 8
"""Replies to each prompt, in GRPO."""
NEW_TOKENS = 128
"""Longest reply that is sampled."""
DECODED_PROMPT = 128
"""Length of the prompts of plain decoding."""
PACK_LENGTH = 1024
PACKS = 2
"""Packs in a batch of supervised fine-tuning, in TRL's words its batch size."""
COMPARED_TOKENS = 8
"""Tokens decoded greedily at first, to compare the sides' log-probabilities."""
HAZARD = 64
"""Where lengths are skewed, one id in so many ends a reply: lengths are geometric."""
ADAPTER_RANK = 16


@dataclass(frozen=True)
class Size:
    """A model and how much data it is trained on."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    pairs: int
    batch: int
    """Pairs per optimizer step."""
    prompts: int
    """Prompts per step of GRPO."""
    grpo_steps: int
    """Steps of GRPO in a turn."""

    @property
    def body(self) -> int:
        """Parameters without the embeddings, which are the head too."""
        layer = 4 * self.hidden**2 + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.layers * layer + self.hidden

    @property
    def head(self) -> int:
        """Parameters of the head."""
        return self.vocabulary * self.hidden


SIZES = {
    # To see that all sides run and agree; its times are those of everything but the model.
    "XS": Size(32, 1, 2, 64, 256, pairs=8, batch=4, prompts=2, grpo_steps=1),
    "S": Size(256, 4, 4, 688, 4096, pairs=64, batch=16, prompts=4, grpo_steps=2),
    "M": Size(512, 8, 8, 1376, 8192, pairs=16, batch=8, prompts=2, grpo_steps=1),
}


@dataclass(frozen=True)
class Pair:
    """A prompt and two replies as tokens; both replies end with EOS."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


EOS, PAD = 0, 1
_SPECIAL = ["</s>", "<pad>"]


def make_model(size: Size, folder: Path, *, skewed: bool = False) -> None:
    """Saves a Llama with random weights (seed 0) and a tokenizer in which a word is a token.

    Args:
        size: its sizes.
        folder: where it goes.
        skewed: many ids end a reply, so that sampled lengths differ widely.
    """
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
    model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = ends(size) if skewed else EOS
    model.save_pretrained(folder)
    words = {word(i): i for i in range(size.vocabulary)}
    tokenizer = Tokenizer(WordLevel(words, unk_token=_SPECIAL[PAD]))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=_SPECIAL[EOS], pad_token=_SPECIAL[PAD]
    ).save_pretrained(folder)


def ends(size: Size) -> list[int]:
    """Ids that end a reply where lengths are skewed."""
    return [EOS, *range(PAD + 1, size.vocabulary // HAZARD + 1)]


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


def batches(size: Size) -> list[list[Pair]]:
    """The pairs in the order of the data, as many per optimizer step as the size says."""
    pairs = make_pairs(size)
    return [pairs[start : start + size.batch] for start in range(0, len(pairs), size.batch)]


def packed_batches(size: Size) -> list[list[Pair]]:
    """The pairs in the batches that TRL's packing of their chosen replies makes of them.

    Packs are filled by decreasing length, each into the one with the least room that is enough.
    """
    pairs = make_pairs(size)
    lengths = [len(pair.prompt) + len(pair.chosen) for pair in pairs]
    packs: list[list[int]] = []
    by_room: defaultdict[int, deque[list[int]]] = defaultdict(deque)
    for index in sorted(range(len(pairs)), key=lambda i: -lengths[i]):
        room = min((r for r, own in by_room.items() if own and r >= lengths[index]), default=None)
        if room is None:
            room, pack = PACK_LENGTH, []
            packs.append(pack)
        else:
            pack = by_room[room].popleft()
        pack.append(index)
        by_room[room - lengths[index]].append(pack)
    grouped = [packs[start : start + PACKS] for start in range(0, len(packs), PACKS)]
    return [[pairs[i] for pack in group for i in pack] for group in grouped]


def grpo_prompts(size: Size) -> list[list[int]]:
    """The prompts that every step of GRPO answers."""
    return [pair.prompt for pair in make_pairs(size)[: size.prompts]]


def recorded_replies(size: Size) -> list[list[list[int]]]:
    """For each prompt of GRPO replies that were not sampled: the first step learns from them."""
    rng = np.random.default_rng(4321)

    def reply() -> list[int]:
        length = int(rng.geometric(1 / HAZARD))
        drawn = rng.integers(len(ends(size)) + 1, size.vocabulary, min(length, NEW_TOKENS)).tolist()
        return [*drawn[:-1], EOS] if length <= NEW_TOKENS else drawn

    return [[reply() for _ in range(GROUP)] for _ in range(size.prompts)]


def worth(reply: Sequence[int]) -> float:
    """What GRPO rewards: the share of even ids."""
    return sum(token % 2 == 0 for token in reply) / len(reply)


def decoded_prompts(size: Size, count: int) -> list[list[int]]:
    """Prompts of equal length for plain decoding."""
    rng = np.random.default_rng(count)
    return rng.integers(len(_SPECIAL), size.vocabulary, (count, DECODED_PROMPT)).tolist()


def head_weights(size: Size) -> np.ndarray:
    """Weights [hidden] that every side's reward model starts its head with."""
    return np.random.default_rng(7).normal(0.0, (size.hidden + 1) ** -0.5, size.hidden)


def digest(data: Any) -> str:
    """Equal for equal tokens in equal order."""
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]


def pairs_digest(pairs: Iterable[Pair]) -> str:
    """Digest of prompts with both replies."""
    return digest([[p.prompt, p.chosen, p.rejected] for p in pairs])


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
