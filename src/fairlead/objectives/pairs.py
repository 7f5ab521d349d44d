"""What the objectives on comparisons share: replies scored in pairs, and their metrics."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.functional.reductions import segment_sum
from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import PreferenceBatch, Scores, Totals


@dataclass(frozen=True)
class Pairs:
    """The better and the worse reply of each pair; log-probabilities are sums, in nats."""

    better: Float[Tensor, " pair"]
    """Log-probability of the better reply under the policy."""
    worse: Float[Tensor, " pair"]
    better_reference: Float[Tensor, " pair"]
    """The same under the reference; 0 for objectives without one."""
    worse_reference: Float[Tensor, " pair"]
    better_length: Float[Tensor, " pair"]
    """Tokens of the better reply, its EOS included."""
    worse_length: Float[Tensor, " pair"]
    better_explored: Float[Tensor, " pair"]
    """1 where the reference wrote the better reply, else 0."""
    worse_explored: Float[Tensor, " pair"]

    @property
    def better_per_token(self) -> Float[Tensor, " pair"]:
        """Mean log-probability of the better reply's tokens."""
        return self.better / self.better_length

    @property
    def worse_per_token(self) -> Float[Tensor, " pair"]:
        """Mean log-probability of the worse reply's tokens."""
        return self.worse / self.worse_length

    @property
    def better_ratio_per_token(self) -> Float[Tensor, " pair"]:
        """Mean log-ratio of policy to reference of the better reply's tokens."""
        return self.better_ratio / self.better_length

    @property
    def worse_ratio_per_token(self) -> Float[Tensor, " pair"]:
        """Mean log-ratio of policy to reference of the worse reply's tokens."""
        return self.worse_ratio / self.worse_length

    @property
    def better_ratio(self) -> Float[Tensor, " pair"]:
        """Log-ratio of policy to reference of the better reply."""
        return self.better - self.better_reference

    @property
    def worse_ratio(self) -> Float[Tensor, " pair"]:
        """Log-ratio of policy to reference of the worse reply."""
        return self.worse - self.worse_reference

    @property
    def margin(self) -> Float[Tensor, " pair"]:
        """How much more the better reply gained over the reference than the worse."""
        return self.better_ratio - self.worse_ratio

    @property
    def swapped(self) -> "Pairs":
        """The same pairs with the other reply taken for the better one."""
        return Pairs(
            better=self.worse,
            worse=self.better,
            better_reference=self.worse_reference,
            worse_reference=self.better_reference,
            better_length=self.worse_length,
            worse_length=self.better_length,
            better_explored=self.worse_explored,
            worse_explored=self.better_explored,
        )


class PairObjective(Objective):
    """An objective whose loss is a function of each pair alone.

    A subclass gives `losses`, and `rewards` where its implicit reward is not the log-ratio.
    Rankings enter as all their untied pairs, each weighted by one over their number. Where a pair
    has a probability that its better reply is the better one, its loss is the expectation under it.
    """

    batch: ClassVar[type[PreferenceBatch]] = PreferenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGPS, Need.REFERENCE})
    judges: ClassVar[bool] = False
    """Whether the replies are verdicts on others: it then makes a judge, not a policy."""

    @abstractmethod
    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Implicit reward of the better and the worse replies, for metrics."""
        return pairs.better_ratio, pairs.worse_ratio

    def __call__(self, scores: Scores, batch: PreferenceBatch, totals: Totals) -> Loss:
        """Mean over pairs (over prompts, for rankings)."""
        pairs = pairs_of(scores, batch)
        losses = self._expected(pairs, batch.label)
        with torch.no_grad():
            better, worse = self.rewards(pairs)
            metrics = {
                f"loss/{self.kind}": average(losses, batch.weight),  # pyright: ignore
                "reward/accuracy": average((better > worse).to(better.dtype), batch.weight),
                "reward/margin": average(better - worse, batch.weight),
                "reward/chosen": average(better, batch.weight),
                "reward/rejected": average(worse, batch.weight),
                "policy/logp_chosen": average(pairs.better, batch.weight),
                "policy/logp_rejected": average(pairs.worse, batch.weight),
            }
            if Need.REFERENCE in self.needs:
                moved = 0.5 * (pairs.better_ratio.abs() + pairs.worse_ratio.abs())
                metrics["policy/log_ratio_abs"] = average(moved, batch.weight)
        return Loss((batch.weight * losses).sum() / totals.groups, metrics)

    def _expected(
        self, pairs: Pairs, label: Float[Tensor, " pair"] | None
    ) -> Float[Tensor, " pair"]:
        """Loss of each pair under the probability of its label."""
        if label is None:
            return self.losses(pairs)
        return label * self.losses(pairs) + (1 - label) * self.losses(pairs.swapped)


def pairs_of(scores: Scores, batch: PreferenceBatch) -> Pairs:
    """Sums the tokens of each reply and puts the replies of each pair side by side."""
    assert scores.logps is not None
    packed = batch.packed
    logps = segment_sum(scores.logps, packed.row_sequence, packed.sequences)
    lengths = segment_sum(torch.ones_like(scores.logps), packed.row_sequence, packed.sequences)
    reference = torch.zeros_like(logps) if batch.reference is None else batch.reference
    nobody = torch.zeros_like(logps)
    explored = nobody if batch.explored is None else batch.explored.to(logps.dtype)
    return Pairs(
        better=logps[batch.better],
        worse=logps[batch.worse],
        better_reference=reference[batch.better],
        worse_reference=reference[batch.worse],
        better_length=lengths[batch.better],
        worse_length=lengths[batch.worse],
        better_explored=explored[batch.better],
        worse_explored=explored[batch.worse],
    )
