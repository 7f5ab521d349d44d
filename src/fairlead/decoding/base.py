"""The protocol of every way to decode, what a reply cost, and how a way is named in settings."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.models.policy import Policy
from fairlead.records import Prompt
from fairlead.rewards.base import Reply, RewardSource


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
    counts: Mapping[str, float] = field(default_factory=dict[str, float])
    """What else was counted or is known, by name: rejections, votes, a bound of the KL."""


class Decoder(Protocol):
    """Answers prompts; holds its policy, its reward and its settings."""

    def decode(self, prompts: Sequence[Prompt], *, seed: Seed) -> list[Decoded]:
        """One reply to each prompt, in order; a reply does not depend on the other prompts.

        What is random follows from `seed` and the prompt's place in the call, as in
        `LocalEngine.sample`.
        """
        ...


@dataclass(frozen=True)
class Models:
    """Who speaks and who judges."""

    policy: Policy
    reward: RewardSource | None = None
    """Judges whole replies."""
    prefix: RewardSource | None = None
    """Judges replies that are under way, such as a value model; None for the reward itself."""

    @property
    def judge(self) -> RewardSource:
        """Who judges whole replies; settings that need one have made sure that there is one."""
        assert self.reward is not None
        return self.reward

    @property
    def guide(self) -> RewardSource:
        """Who judges replies that are under way."""
        return self.prefix or self.judge


class DecoderSettings(BaseModel, ABC):
    """A way to decode as recipes and commands name it.

    A subclass adds its settings, sets `kind`, writes `decode_with`, and is then known to recipes,
    to the command line and to the docs by itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rewarded: ClassVar[bool] = True
    """Whether it needs a reward."""

    @abstractmethod
    def decode_with(
        self, models: Models, prompts: Sequence[Prompt], *, seed: Seed
    ) -> list[Decoded]:
        """One reply to each prompt, in order; see `Decoder.decode`."""

    def check(self, models: Models) -> None:
        """Refuses models that it cannot work with.

        Raises:
            ConfigError: they do not fit.
        """
        if self.rewarded and models.reward is None:
            kind: str = type(self).model_fields["kind"].default
            raise ConfigError(
                f"decoder {kind!r} chooses by a reward, and there is none",
                expected="a reward model, or any other reward",
                remedy="name one, or choose a decoder without: sampling, majority",
            )

    def build(
        self,
        policy: Policy,
        reward: RewardSource | None = None,
        prefix: RewardSource | None = None,
    ) -> Decoder:
        """The decoder with its models.

        Args:
            policy: who speaks.
            reward: judges whole replies.
            prefix: judges replies that are under way; None for the reward.

        Raises:
            ConfigError: there is no reward though it needs one, or a model does not fit.
        """
        models = Models(policy, reward, prefix)
        self.check(models)
        return _Bound(self, models)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Enters it in the registry under its kind; shared bases have none."""
        super().__pydantic_init_subclass__(**kwargs)
        if "kind" in cls.model_fields:
            DECODERS[cls.model_fields["kind"].default] = cls


DECODERS: dict[str, type[DecoderSettings]] = {}
"""Every decoder by kind; filled as their modules are imported."""


@dataclass(frozen=True)
class _Bound:
    settings: DecoderSettings
    models: Models

    def decode(self, prompts: Sequence[Prompt], *, seed: Seed) -> list[Decoded]:
        """One reply to each prompt, in order."""
        return self.settings.decode_with(self.models, prompts, seed=seed)
