"""What credit is made from and what it gives."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from fairlead.core.errors import ConfigError
from fairlead.core.metrics import Mean
from fairlead.functional.advantages import shaped_rewards
from fairlead.functional.groups import group_sizes
from fairlead.functional.reductions import alone
from fairlead.objectives.base import Need


@dataclass(frozen=True)
class Sampled:
    """What credit sees of one process's part of a rollout batch; token tables are padded."""

    scores: Tensor
    """[reply], after clipping and penalties."""
    mask: Tensor
    """[reply, token], True where there is a token; replies start at column 0."""
    logp: Tensor
    """[reply, token], under the policy that sampled."""
    reference: Tensor
    """[reply, token], under the reference; equal to `logp` where nobody asked for one."""
    values: Tensor
    """[reply, token], of the state before each token; zeros where there is no critic."""
    token_rewards: Tensor
    """[reply, token], on top of the score; zeros where there are none."""
    group: Tensor
    """[reply], the prompt that each reply answers, from 0."""
    tokens: Tensor
    """[reply, token], ids."""
    cost_values: Tensor | None = None
    """[reply, token], expected cost from the state before each token."""
    costs: Tensor | None = None
    """[reply]."""
    steps: Tensor | None = None
    """[reply, token], True at the last token of every step that was judged; None for wherever a
    token reward is not 0."""
    kl_coefficient: float = 0.0
    """Reward taken per nat of log-ratio to the reference."""
    multiplier: float = 0.0
    """Weight of the cost."""
    over_ranks: Callable[[Tensor], Tensor] = alone
    """Adds a tensor over all processes."""

    @property
    def log_ratio(self) -> Tensor:
        """[reply, token], policy to reference in nats, 0 behind the reply."""
        return torch.where(self.mask, self.logp - self.reference, 0.0)

    @property
    def penalised_scores(self) -> Tensor:
        """[reply], scores less the penalty on the KL of the whole reply."""
        return self.scores - self.kl_coefficient * self.log_ratio.sum(1)

    @property
    def rewards(self) -> Tensor:
        """[reply, token], KL penalty and token rewards everywhere, the score at the last token."""
        shaped = shaped_rewards(
            self.scores, self.logp, self.reference, self.mask, kl_coefficient=self.kl_coefficient
        )
        return shaped + torch.where(self.mask, self.token_rewards, 0.0)

    def at_last(self, x: Tensor) -> Tensor:
        """[reply, token], the reply's number at its last token and 0 elsewhere."""
        last = self.mask.sum(1, keepdim=True) - 1
        return x.new_zeros(self.mask.shape).scatter(1, last, x[:, None])

    @property
    def judged(self) -> Tensor:
        """[reply, token], True where a judged step ends."""
        steps = self.token_rewards != 0 if self.steps is None else self.steps
        return steps & self.mask


@dataclass(frozen=True)
class Credit:
    """Advantages and returns of every sampled token; 0 behind a reply."""

    advantages: Tensor
    """[reply, token]."""
    returns: Tensor
    """[reply, token], what a critic should have predicted."""
    macros: Tensor | None = None
    """[reply, token], the macro action of each token, numbered from 0 within the reply."""
    cost_returns: Tensor | None = None
    """[reply, token], what a cost critic should have predicted."""
    metrics: dict[str, Mean] = field(default_factory=dict[str, Mean])


class CreditRule(BaseModel, ABC):
    """A frozen value that turns the scores of replies into advantages of their tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    needs: ClassVar[frozenset[Need]] = frozenset()
    """What it asks of the model beyond log-probabilities; the reference is also asked for wherever
    there is a KL penalty."""

    @abstractmethod
    def __call__(self, sampled: Sampled) -> Credit:
        """Credits one process's part of a rollout batch."""


def check_groups(sampled: Sampled, kind: str) -> None:
    """Where replies are held against each other there must be others.

    Raises:
        ConfigError: every prompt has one reply.
    """
    if len(sampled.group) and int(group_sizes(sampled.group).max()) < 2:
        raise ConfigError(
            f"credit '{kind}' holds replies to the same prompt against each other, but every "
            "prompt has one reply",
            expected="rollouts.samples of at least 2",
            got="1",
            remedy="raise rollouts.samples, or choose a credit that needs no group: gae, "
            "reinforce_pp",
        )
