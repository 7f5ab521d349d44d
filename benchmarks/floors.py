"""The least time that a piece of work can take on this machine, and the operations it needs.

Nothing is shared or left out in a floor: every sequence is computed whole, prompts too, and logits
exist for labels alone. Training: `6 body tokens + 6 head labels + 6 layers width sum(length^2)`
operations at the rate of a matrix product, and 28 bytes per weight and optimizer step at the rate
of reading. Decoding: per token of the longest reply the larger of reading the weights and
multiplying with them, and reading the keys and values; the prompts before that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.rates import BYTES, Rates
from benchmarks.work import (
    DECODED_PROMPT,
    NEW_TOKENS,
    Pair,
    Size,
    grpo_prompts,
    make_pairs,
    packed_batches,
)

OPTIMIZER_BYTES = 28
"""Read and written per weight by AdamW: weight, gradient, two moments."""


@dataclass(frozen=True)
class Floor:
    """A bound from below, and the operations in it."""

    seconds: float
    operations: float

    def __add__(self, other: "Floor") -> "Floor":
        return Floor(self.seconds + other.seconds, self.operations + other.operations)

    def __truediv__(self, count: float) -> "Floor":
        return Floor(self.seconds / count, self.operations / count)


@dataclass(frozen=True)
class Text:
    """A prompt and the reply to it, as lengths in tokens."""

    prompt: int
    reply: int

    @property
    def length(self) -> int:
        return self.prompt + self.reply


def training(
    size: Size, rates: Rates, sequences: Iterable[Text], steps: int, *, head: bool = True
) -> Floor:
    """Of forward and backward passes over whole sequences, and of AdamW's steps."""
    own = list(sequences)
    tokens, labels = sum(s.length for s in own), sum(s.reply for s in own)
    squares = sum(s.length**2 for s in own)
    operations = 6.0 * size.body * tokens + 6 * size.layers * size.hidden * squares
    operations += 6 * size.head * labels if head else 0
    moved = steps * OPTIMIZER_BYTES * (size.body + size.head)
    return Floor(operations / rates.gemm_gflops / 1e9 + moved / rates.memory_gbs / 1e9, operations)


def decoding(size: Size, rates: Rates, sequences: Iterable[Text]) -> Floor:
    """Of sampling these replies together; rows that are done cost nothing any more."""
    own = list(sequences)
    weights = size.body + size.head
    operations = 2.0 * size.body * sum(s.prompt for s in own)
    seconds = operations / rates.gemm_gflops / 1e9
    for step in range(max(s.reply for s in own)):
        going = [s for s in own if s.reply > step]
        multiplied = 2.0 * weights * len(going)
        cached = 2 * size.layers * size.hidden * BYTES * sum(s.prompt + step for s in going)
        read = BYTES * weights / rates.weights_gbs / 1e9
        seconds += max(read, multiplied / rates.gemm_gflops / 1e9) + cached / rates.memory_gbs / 1e9
        operations += multiplied
    return Floor(seconds, operations)


def chosen(size: Size) -> list[Text]:
    """What an epoch of supervised fine-tuning computes."""
    return [Text(len(p.prompt), len(p.chosen)) for p in make_pairs(size)]


def both(size: Size) -> list[Text]:
    """What an epoch on comparisons computes."""
    return [s for pair in make_pairs(size) for s in _of(pair)]


def _of(pair: Pair) -> tuple[Text, Text]:
    prompt = len(pair.prompt)
    return Text(prompt, len(pair.chosen)), Text(prompt, len(pair.rejected))


def sampled(size: Size, lengths: Sequence[int]) -> list[Text]:
    """What a step of GRPO computes, given how long its replies were."""
    prompts = [len(prompt) for prompt in grpo_prompts(size)]
    group = len(lengths) // len(prompts)
    return [Text(prompts[n // group], length) for n, length in enumerate(lengths)]


def decoded(rows: int) -> list[Text]:
    """What plain decoding of so many rows computes."""
    return [Text(DECODED_PROMPT, NEW_TOKENS)] * rows


def sft(size: Size, rates: Rates) -> Floor:
    """Of an epoch of supervised fine-tuning."""
    return training(size, rates, chosen(size), len(packed_batches(size)))


def comparing(size: Size, rates: Rates, *, head: bool) -> Floor:
    """Of an epoch on comparisons: of DPO with its reference known, or of a reward model."""
    return training(size, rates, both(size), size.pairs // size.batch, head=head)
