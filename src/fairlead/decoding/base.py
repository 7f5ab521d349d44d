"""The protocol of every way to decode, and what a reply cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fairlead.core.seeds import Seed
from fairlead.records import Prompt
from fairlead.rewards.base import Reply


@dataclass(frozen=True)
class Spent:
    """What was computed for a reply; the measure by which ways to decode are compared."""

    policy_tokens: int = 0
    """Positions the policy computed, those of the prompt and of replies thrown away included."""
    reward_tokens: int = 0
    """Positions that reward models computed."""
    reward_calls: int = 0
    """Texts that were scored."""

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.policy_tokens + other.policy_tokens,
            self.reward_tokens + other.reward_tokens,
            self.reward_calls + other.reward_calls,
        )

    @property
    def tokens(self) -> int:
        """Positions computed by all models."""
        return self.policy_tokens + self.reward_tokens


@dataclass(frozen=True)
class Decoded:
    """The reply that was chosen, and its price."""

    reply: Reply
    score: float | None
    """What the reward said of the whole reply; None where nothing scored it."""
    spent: Spent


class Decoder(Protocol):
    """Answers prompts; holds its policy, its reward and its settings."""

    def decode(self, prompts: Sequence[Prompt], *, seed: Seed) -> list[Decoded]:
        """One reply to each prompt, in order; a reply does not depend on the other prompts."""
        ...
