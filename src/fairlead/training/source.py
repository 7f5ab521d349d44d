"""Where optimizer steps come from: the protocol, and the source that slices a data set."""

# torch and accelerate leave much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from fairlead.core.errors import ConfigError
from fairlead.core.metrics import Mean
from fairlead.core.seeds import Seed
from fairlead.data.batches import microbatches
from fairlead.data.chat import Item
from fairlead.objectives.batch import Batch, Totals
from fairlead.training.config import TrainConfig

ENDLESS = 1 << 40
"""Steps of a source that goes on until the loop's budget is spent."""


@dataclass(frozen=True)
class Step:
    """The work of one optimizer step on this process."""

    microbatches: Sequence[Batch]
    metrics: dict[str, Mean] = field(default_factory=dict[str, Mean])
    """What the source itself has to report, e.g. rewards of fresh rollouts."""
    passes: int = 0
    """Tokens that went through a model to prepare the step: sampling, scoring."""

    def totals(self) -> Totals:
        """Counts of this process's part of the step."""
        return sum((batch.totals() for batch in self.microbatches), Totals())


@dataclass(frozen=True)
class Ranks:
    """This process among its equals, and how to add a tensor over all of them."""

    index: int = 0
    count: int = 1
    add: Callable[[Tensor], Tensor] = lambda x: x

    def share(self, items: Sequence[Any]) -> list[Any]:
        """This process's part of a global batch."""
        return list(items[self.index :: self.count])


class Source(Protocol):
    """Yields the steps of a run; the loop knows nothing else about the data."""

    @property
    def steps(self) -> int:
        """Optimizer steps in the whole run."""
        ...

    def step(self, index: int, ranks: Ranks) -> Step:
        """The work of step `index`; equal calls give equal steps."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the run may end before its last step."""
        ...

    def observe(self, metrics: dict[str, float]) -> None:
        """Gets the metrics of each step, reduced over all processes."""
        ...

    def between(self, index: int) -> bool:
        """Whether a checkpoint may be taken before step `index`: nothing half-used is in hand."""
        ...

    def state(self) -> dict[str, Any]:
        """What a later process needs to go on as if never stopped (JSON)."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Puts a state back."""
        ...


@dataclass(frozen=True)
class DatasetSource:
    """Slices a data set in a seeded order, a new one for every epoch.

    Args:
        items: tokenised examples.
        collate: makes a microbatch of some of them.
        batch_size: examples per optimizer step over all processes.
        epochs: passes over the data.
        microbatch_tokens: tokens computed at once.
        seed: order of the data.
        max_steps: stop earlier.
    """

    items: Sequence[Item]
    collate: Callable[[Sequence[Item]], Batch]
    batch_size: int
    epochs: int
    microbatch_tokens: int
    seed: Seed
    max_steps: int | None = None
    endless: bool = False
    """Go round until the loop's budget of work is spent."""

    @classmethod
    def of(
        cls,
        items: Sequence[Item],
        collate: Callable[[Sequence[Item]], Batch],
        config: TrainConfig,
        seed: Seed,
    ) -> "DatasetSource":
        """A source with the batch size, epochs and budget of a loop's settings."""
        return cls(
            items,
            collate,
            config.batch_size,
            config.epochs,
            config.microbatch_tokens,
            seed,
            config.max_steps,
            config.max_token_passes is not None,
        )

    @property
    def steps(self) -> int:
        """Optimizer steps: an incomplete last batch of an epoch counts too."""
        per_epoch = -(-len(self.items) // self.batch_size)
        whole = per_epoch * self.epochs
        if self.endless:
            return self.max_steps or ENDLESS
        return whole if self.max_steps is None else min(whole, self.max_steps)

    def step(self, index: int, ranks: Ranks) -> Step:
        """The examples of step `index`, packed into microbatches."""
        self._check_share(ranks)
        per_epoch = -(-len(self.items) // self.batch_size)
        epoch, place = divmod(index, per_epoch)
        order = self.seed.child("order", epoch).numpy().permutation(len(self.items))
        chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
        mine = [self.items[i] for i in ranks.share(chosen.tolist())]
        groups = microbatches(mine, self.microbatch_tokens)
        return Step([self.collate(group) for group in groups])

    def _check_share(self, ranks: Ranks) -> None:
        """Refuses at the first step what would leave a process without work at a later one."""
        left_over = len(self.items) % self.batch_size
        whole, reached = len(self.items) // self.batch_size, self.steps
        smallest = left_over if left_over and reached > whole else self.batch_size
        if smallest < ranks.count:
            raise ConfigError(
                "a process has no example in a step",
                where="the last batch of an epoch" if smallest == left_over else "every batch",
                expected=f"a batch of at least {ranks.count} examples, one for each process",
                got=f"{smallest} ({len(self.items)} examples in batches of {self.batch_size})",
                remedy="choose another batch_size, or use fewer processes",
            )

    @property
    def finished(self) -> bool:
        """Never before the last step."""
        return False

    def observe(self, metrics: dict[str, float]) -> None:
        """Nothing depends on how training goes."""

    def between(self, index: int) -> bool:
        """Always: a data set has no state."""
        return True

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing."""


def totals_over(ranks: Ranks, totals: Totals) -> Totals:
    """Adds the counts of all processes."""
    names = Totals.counts()
    values = torch.tensor([getattr(totals, n) for n in names], dtype=torch.float64)
    return Totals(*ranks.add(values).tolist())
