"""The protocol of everything that can score a reply."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.generation.sampling import Finish
from fairlead.records import Problem, Prompt


@dataclass(frozen=True)
class Reply:
    """A reply to be scored, as tokens of the policy and as text."""

    prompt: Prompt
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    text: str
    problem: Problem | None = None
    """The task with its answer, where replies are checked against one."""
    finish: Finish = "eos"
    """How the reply ended."""


@dataclass(frozen=True)
class Scored:
    """What a reward source says about some replies, in their order, float32 on the CPU."""

    values: Float[Tensor, " reply"]
    """One score for each reply; higher is better."""
    parts: dict[str, Float[Tensor, " reply"]] = field(default_factory=dict[str, Tensor])
    """What the score is made of, or what was measured beside it, by name; for metrics."""
    reasons: tuple[str, ...] = ()
    """Why each reply got its score, as short codes; empty where there is nothing to say."""
    token_rewards: tuple[Float[Tensor, " token"], ...] = ()
    """Rewards at single tokens of each reply, on top of its score, nan where no step ends; empty
    where there are none."""
    advantages: bool = False
    """Whether the values are advantages already, made by comparing the replies of a prompt."""


class RewardSource(Protocol):
    """Scores replies; higher is better. Replies to the same prompt lie side by side."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def score(self, replies: Sequence[Reply]) -> Scored:
        """Scores each reply."""
        ...


@dataclass(frozen=True)
class FunctionReward:
    """A known function of prompt and text, such as a testbed's gold utility or a checker."""

    function: Callable[[Prompt, str], float]
    name: str = "function"

    def score(self, replies: Sequence[Reply]) -> Scored:
        """Calls the function on every reply."""
        scores = [self.function(reply.prompt, reply.text) for reply in replies]
        return Scored(torch.tensor(scores, dtype=torch.float32))
