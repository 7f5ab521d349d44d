"""What an objective sees: packed tokens, and per kind of data the few tensors that go with them.

Sequences lie one behind the other in a single row of tokens, and sequences that share a prompt
hold it once: a *tree* is a shared prefix and its branches. `rows` says at which positions logits
are wanted; the last position of a prefix is the row that predicts the first token of each branch.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Tree:
    """A shared prefix and its branches, as lengths in tokens; it starts at `start`."""

    start: int
    prefix: int
    branches: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens it takes up in the pack."""
        return self.prefix + sum(self.branches)


Count = int | float
"""Whole on one process; a float once added over ranks."""


@dataclass(frozen=True)
class Totals:
    """Counts of one optimizer step over all microbatches and ranks: the only divisors of a loss."""

    sequences: Count = 0
    rows: Count = 0
    """Tokens that carry loss."""
    groups: Count = 0
    """Comparisons or rankings."""
    pretraining_rows: Count = 0
    """Tokens of text mixed in from pretraining data."""
    tokens: Count = 0
    """Tokens computed, for speed."""

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def _moved(value: Any, device: torch.device) -> Any:
    moved: Any = value
    return moved.to(device, non_blocking=True) if isinstance(value, (Tensor, Moves)) else moved


M = TypeVar("M", bound="Moves")


class Moves:
    """A frozen dataclass of tensors that can be moved as one."""

    def to(self: M, device: torch.device, non_blocking: bool = False) -> M:
        """The same batch on another device."""
        whole: Any = self
        return replace(
            whole, **{f.name: _moved(getattr(self, f.name), device) for f in fields(whole)}
        )


@dataclass(frozen=True)
class Packed(Moves):
    """Sequences packed without padding."""

    input_ids: Int[Tensor, " token"]
    position_ids: Int[Tensor, " token"]
    trees: tuple[Tree, ...]
    rows: Int[Tensor, " row"]
    """Positions whose hidden state predicts a token that counts."""
    targets: Int[Tensor, " row"]
    """The token that each row predicts."""
    row_sequence: Int[Tensor, " row"]
    """The sequence that each row belongs to."""
    ends: Int[Tensor, " sequence"]
    """Position of each sequence's last token, where a reward model reads its score."""
    temperature: float = 1.0
    """Divides the logits: that of sampling, for replies sampled with one."""

    @property
    def sequences(self) -> int:
        """How many sequences, counting each branch."""
        return self.ends.shape[0]


@dataclass(frozen=True)
class SequenceBatch(Moves):
    """Replies to imitate."""

    packed: Packed

    def totals(self) -> Totals:
        """Counts of this microbatch."""
        return Totals(
            sequences=self.packed.sequences,
            rows=self.packed.rows.shape[0],
            tokens=self.packed.input_ids.shape[0],
        )


@dataclass(frozen=True)
class PreferenceBatch(Moves):
    """Replies of which some are better than others: pairs, or rankings as all their pairs."""

    packed: Packed
    better: Int[Tensor, " pair"]
    """Index of the preferred sequence of each pair."""
    worse: Int[Tensor, " pair"]
    weight: Float[Tensor, " pair"]
    """1 / (pairs of the same ranking): every prompt counts once, however many replies it has."""
    reference: Float[Tensor, " sequence"] | None = None
    """Summed log-probability under the reference, in nats."""

    def totals(self) -> Totals:
        """Counts of this microbatch."""
        return Totals(
            sequences=self.packed.sequences,
            rows=self.packed.rows.shape[0],
            groups=float(self.weight.sum(dtype=torch.float64)),
            tokens=self.packed.input_ids.shape[0],
        )


@dataclass(frozen=True)
class RolloutBatch(Moves):
    """Replies that the policy sampled, with their credit; possibly with pretraining text."""

    packed: Packed
    old_logps: Float[Tensor, " row"]
    advantages: Float[Tensor, " row"]
    returns: Float[Tensor, " row"]
    old_values: Float[Tensor, " row"]
    pretraining: Bool[Tensor, " row"]
    """True on rows of pretraining text, which only the likelihood term sees."""

    def totals(self) -> Totals:
        """Counts of this microbatch."""
        mixed_in = int(self.pretraining.sum())
        return Totals(
            sequences=self.packed.sequences,
            rows=self.packed.rows.shape[0] - mixed_in,
            pretraining_rows=mixed_in,
            tokens=self.packed.input_ids.shape[0],
        )


Batch = SequenceBatch | PreferenceBatch | RolloutBatch


@dataclass(frozen=True)
class Scores:
    """What a policy or reward model says about a packed batch; absent parts were not asked for."""

    logps: Float[Tensor, " row"] | None = None
    """Log-probability of each row's target, in nats."""
    entropy: Float[Tensor, " row"] | None = None
    """Entropy of each row's distribution in nats, without gradient."""
    values: Float[Tensor, " row"] | None = None
    """Value of the state before each row's target."""
    rewards: Float[Tensor, " sequence"] | None = None
    """Reward-model score of each sequence."""
