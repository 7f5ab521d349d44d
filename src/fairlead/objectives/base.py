"""The shape of an objective: a frozen value with settings, needs and maths."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.batch import Packed, Scores, Totals


class Need(StrEnum):
    """What an objective asks of the model and of the data."""

    LOGPS = "logps"
    """Log-probabilities of the reply's tokens."""
    ENTROPY = "entropy"
    """Entropy of the policy at each reply token, for metrics."""
    VALUES = "values"
    """A value head."""
    COST_VALUES = "cost_values"
    """A second value head, for costs."""
    DISTRIBUTION = "distribution"
    """Log-probabilities of every token of the vocabulary, not of the taken one alone."""
    ACTIVATIONS = "activations"
    """States behind every layer."""
    REWARDS = "rewards"
    """A reward head."""
    STEPS = "steps"
    """A reward head that is read at the end of every step."""
    LENGTH_REWARDS = "length_rewards"
    """A second reward head that follows length."""
    LATENTS = "latents"
    """A reward head behind an information bottleneck."""
    DIMENSIONS = "dimensions"
    """A reward head with one score per named dimension and a gate."""
    EMBEDDINGS = "embeddings"
    """A head that embeds replies for intransitive preferences."""
    REFERENCE = "reference"
    """Log-probabilities under a frozen reference."""
    ROLLOUTS = "rollouts"
    """Replies sampled from the policy during training."""


@dataclass(frozen=True)
class Loss:
    """The loss of a microbatch, already divided by the whole step's totals, and its metrics."""

    value: Tensor
    metrics: dict[str, Mean]


class Objective(BaseModel, ABC):
    """Turns scores and global counts into a loss.

    A subclass adds its settings as fields, sets `kind`, `batch` and `needs`, and is then known to
    recipes and to the contract tests by itself. Inside `__call__`: no `.item()`, no random
    numbers, no in-place writes, and no division by a local count; `totals` are the counts of the
    whole optimizer step, so any split into microbatches gives the same gradient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: ClassVar[str]
    source: ClassVar[str]
    equation: ClassVar[str]
    """What is minimised, in LaTeX."""
    choose: ClassVar[str]
    """When to choose it, in a sentence or two."""
    batch: ClassVar[type[Any]]
    needs: ClassVar[frozenset[Need]]
    has_statistics: ClassVar[bool] = False
    """Whether the loss needs sums over the whole step before it can be computed."""

    @abstractmethod
    def __call__(self, scores: Scores, batch: Any, totals: Totals) -> Loss:
        """Loss and metrics of one microbatch of a step whose counts are `totals`."""

    def statistics(self, scores: Scores, batch: Any) -> Tensor:
        """Sums over a microbatch, without gradient, that `totals.statistics` brings to each loss.

        Only for objectives with `has_statistics`; `scores` are those of `preview(batch)`.
        """
        raise NotImplementedError

    def preview(self, batch: Any) -> Packed:
        """What the model scores for `statistics`."""
        return batch.packed

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Enters the objective in the registry under its kind; shared bases have none."""
        super().__pydantic_init_subclass__(**kwargs)
        if "kind" in cls.model_fields:
            OBJECTIVES[cls.model_fields["kind"].default] = cls


OBJECTIVES: dict[str, type[Objective]] = {}
"""Every objective by kind; filled as their modules are imported."""


def average(x: Tensor, weight: Tensor | None = None) -> Mean:
    """A metric over the entries of `x`, kept as total and count so that it adds."""
    x = x.detach()
    if weight is None:
        return Mean(x.sum(), x.shape[0])
    return Mean((x * weight).sum(), weight.sum())
