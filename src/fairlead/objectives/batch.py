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
    macros: Count = 0
    """Macro actions, where the batch is credited by them."""
    pretraining_rows: Count = 0
    """Tokens of text mixed in from pretraining data."""
    tokens: Count = 0
    """Tokens computed, for speed."""
    statistics: tuple[float, ...] = ()
    """Sums over the step that an objective asked for (`Objective.statistics`)."""

    @classmethod
    def counts(cls) -> tuple[str, ...]:
        """Names of the counts, which add over microbatches and processes."""
        return tuple(f.name for f in fields(cls) if f.name != "statistics")

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*(getattr(self, n) + getattr(other, n) for n in self.counts()))


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
    """1 / (pairs of the same ranking): every prompt counts once, however many replies it has; times
    what judgements of its source count."""
    reference: Float[Tensor, " sequence"] | None = None
    """Summed log-probability under the reference, in nats."""
    strength: Float[Tensor, " pair"] | None = None
    """How much better, as the margin the scores should keep; None for 0."""
    label: Float[Tensor, " pair"] | None = None
    """Probability that `better` is the better one; None for 1."""
    costs: Float[Tensor, " sequence"] | None = None
    """+1 for an unsafe reply, -1 for a safe one, 0 where nobody said; for cost models."""
    ratings: Float[Tensor, "sequence dimension"] | None = None
    """Score of each reply in each named dimension, nan where nobody said."""
    explored: Bool[Tensor, " sequence"] | None = None
    """True for replies that the reference wrote; for exploring online objectives."""

    def totals(self) -> Totals:
        """Counts of this microbatch."""
        return Totals(
            sequences=self.packed.sequences,
            rows=self.packed.rows.shape[0],
            groups=float(self.weight.sum(dtype=torch.float64)),
            tokens=self.packed.input_ids.shape[0],
        )


@dataclass(frozen=True)
class UnpairedBatch(Moves):
    """Replies judged one by one: desirable or not."""

    packed: Packed
    desirable: Bool[Tensor, " sequence"]
    reference: Float[Tensor, " sequence"]
    """Summed log-probability under the reference, in nats."""
    mismatched: Packed
    """Prompts with the replies of other prompts, to estimate how far the policy has moved."""
    mismatched_reference: Float[Tensor, " mismatch"]
    """Summed reference log-probability of those, in nats."""

    def totals(self) -> Totals:
        """Counts of this microbatch."""
        return Totals(
            sequences=self.packed.sequences,
            rows=self.packed.rows.shape[0],
            tokens=self.packed.input_ids.shape[0] + self.mismatched.input_ids.shape[0],
        )


@dataclass(frozen=True)
class StepBatch(Moves):
    """Solutions whose steps are judged; the rows of `packed` are the ends of labelled steps."""

    packed: Packed
    labels: Float[Tensor, " row"]
    """Probability that the solution is right up to and including the step."""

    def totals(self) -> Totals:
        """Counts of this microbatch."""
        return Totals(
            sequences=self.packed.sequences,
            rows=self.packed.rows.shape[0],
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
    reference: Float[Tensor, " row"] | None = None
    """Log-probability of each row's target under the reference, for a KL in the loss."""
    macros: Int[Tensor, " row"] | None = None
    """The macro action that each row belongs to, numbered from 0 within the batch."""
    cost_returns: Float[Tensor, " row"] | None = None
    """Returns of the cost, where it is constrained."""
    old_cost_values: Float[Tensor, " row"] | None = None
    budget: int = 1
    """Longest reply that sampling allowed, in tokens."""

    @property
    def replies(self) -> Bool[Tensor, " sequence"]:
        """True for sampled replies, False for sequences of pretraining text."""
        sampled = self.packed.row_sequence[~self.pretraining]
        marks = torch.zeros(self.packed.sequences, dtype=torch.bool, device=self.pretraining.device)
        return marks.index_fill(0, sampled, True)

    def totals(self) -> Totals:
        """Counts of this microbatch."""
        mixed_in = int(self.pretraining.sum())
        macros = None if self.macros is None else self.macros[~self.pretraining]
        return Totals(
            sequences=int(self.replies.sum()),
            rows=self.packed.rows.shape[0] - mixed_in,
            macros=0 if macros is None else int(torch.bincount(macros).count_nonzero()),
            pretraining_rows=mixed_in,
            tokens=self.packed.input_ids.shape[0],
        )


@dataclass(frozen=True)
class DistillationBatch(Moves):
    """Replies with the teacher's whole next-token distribution at each row."""

    packed: Packed
    teacher: Float[Tensor, "row vocabulary"]
    """Log-probabilities of the teacher, which saw more than the student."""
    advantages: Float[Tensor, " row"]
    """Credit of each row's target, for the policy-gradient term."""

    def totals(self) -> Totals:
        """Counts of this microbatch."""
        return Totals(
            sequences=self.packed.sequences,
            rows=self.packed.rows.shape[0],
            tokens=self.packed.input_ids.shape[0],
        )


@dataclass(frozen=True)
class ContrastBatch(Moves):
    """Prompts and the same prompts wrapped; rows are the tokens in which both end."""

    packed: Packed
    clean: Bool[Tensor, " row"]
    """True on rows of plain prompts; those of wrapped ones are as many, in the same order."""

    def totals(self) -> Totals:
        """Counts of this microbatch; a pair of tokens counts as one row."""
        return Totals(
            sequences=self.packed.sequences,
            rows=self.packed.rows.shape[0] // 2,
            tokens=self.packed.input_ids.shape[0],
        )


Batch = (
    SequenceBatch
    | PreferenceBatch
    | UnpairedBatch
    | StepBatch
    | RolloutBatch
    | DistillationBatch
    | ContrastBatch
)


@dataclass(frozen=True)
class Scores:
    """What a policy or reward model says about a packed batch; absent parts were not asked for."""

    logps: Float[Tensor, " row"] | None = None
    """Log-probability of each row's target, in nats."""
    entropy: Float[Tensor, " row"] | None = None
    """Entropy of each row's distribution in nats, without gradient."""
    values: Float[Tensor, " row"] | None = None
    """Value of the state before each row's target."""
    cost_values: Float[Tensor, " row"] | None = None
    """Expected cost from the state before each row's target."""
    steps: Float[Tensor, " row"] | None = None
    """Log-odds at each row that the solution is right so far."""
    distribution: Float[Tensor, "row vocabulary"] | None = None
    """Log-probabilities of every next token at each row."""
    activations: Float[Tensor, "layer row width"] | None = None
    """State behind every layer at each row."""
    rewards: Float[Tensor, " sequence"] | None = None
    """Reward-model score of each sequence."""
    members: Float[Tensor, "sequence member"] | None = None
    """The score by each member of an ensemble; `rewards` is their mean."""
    length_rewards: Float[Tensor, " sequence"] | None = None
    """What a length head says, to be thrown away after training."""
    head_overlap: Float[Tensor, ""] | None = None
    """Cosine of the weights of the quality head and the length head, absolute."""
    latent_mean: Float[Tensor, "sequence latent"] | None = None
    """Mean of the bottleneck's Gaussian."""
    latent_logvar: Float[Tensor, "sequence latent"] | None = None
    """Logarithm of its variance, per dimension."""
    dimensions: Float[Tensor, "sequence dimension"] | None = None
    """One score per named dimension."""
    embeddings: Float[Tensor, "sequence axis"] | None = None
    """Preference embedding: two axes for each subspace."""
    eigenvalues: Float[Tensor, "sequence subspace"] | None = None
    """Weight of each subspace for the sequence's prompt, never negative."""
