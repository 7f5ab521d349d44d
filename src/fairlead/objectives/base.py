"""The shape of an objective: a frozen value with settings, needs and maths."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.batch import Scores, Totals


class Need(StrEnum):
    """What an objective asks of the model and of the data."""

    LOGPS = "logps"
    """Log-probabilities of the reply's tokens."""
    ENTROPY = "entropy"
    """Entropy of the policy at each reply token, for metrics."""
    VALUES = "values"
    """A value head."""
    REWARDS = "rewards"
    """A reward head."""
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
    batch: ClassVar[type[Any]]
    needs: ClassVar[frozenset[Need]]

    @abstractmethod
    def __call__(self, scores: Scores, batch: Any, totals: Totals) -> Loss:
        """Loss and metrics of one microbatch of a step whose counts are `totals`."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Enters the objective in the registry under its kind."""
        super().__pydantic_init_subclass__(**kwargs)
        OBJECTIVES[cls.model_fields["kind"].default] = cls


OBJECTIVES: dict[str, type[Objective]] = {}
"""Every objective by kind; filled as their modules are imported."""


def average(x: Tensor, weight: Tensor | None = None) -> Mean:
    """A metric over the entries of `x`, kept as total and count so that it adds."""
    x = x.detach()
    if weight is None:
        return Mean(x.sum(), x.shape[0])
    return Mean((x * weight).sum(), weight.sum())
