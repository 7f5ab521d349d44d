"""The protocol of everything that can score a reply."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.records import Prompt


@dataclass(frozen=True)
class Reply:
    """A reply to be scored, as tokens of the policy and as text."""

    prompt: Prompt
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    text: str


class RewardSource(Protocol):
    """Scores replies; higher is better."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def score(self, replies: Sequence[Reply]) -> Float[Tensor, " reply"]:
        """One score for each reply, float32 on the CPU."""
        ...


@dataclass(frozen=True)
class FunctionReward:
    """A known function of prompt and text, such as a testbed's gold utility or a checker."""

    function: Callable[[Prompt, str], float]
    name: str = "function"

    def score(self, replies: Sequence[Reply]) -> Float[Tensor, " reply"]:
        """Calls the function on every reply."""
        scores = [self.function(reply.prompt, reply.text) for reply in replies]
        return torch.tensor(scores, dtype=torch.float32)
