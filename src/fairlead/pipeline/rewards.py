"""Rewards as recipes name them: typed values that become reward sources.

A reward is a path (of a reward model) or a mapping with a `kind`. Kinds nest: an ensemble has
members, a shaped reward wraps another.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Union

from pydantic import BaseModel, ConfigDict, Field

from fairlead.core.seeds import Seed
from fairlead.data.chat import Ids
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_reward_model, require_same_base
from fairlead.models.policy import Policy
from fairlead.pipeline.stage import Context
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward, RewardSource
from fairlead.rewards.model import ModelReward
from fairlead.testbeds.arithmetic import ArithmeticWorld
from fairlead.testbeds.assistant import AssistantWorld


@dataclass(frozen=True)
class Setting:
    """What a reward may need to know of the run it serves."""

    context: Context
    policy: Policy
    """The policy at its start, whose tokenizer its replies are in."""
    sampling: Sampling
    """How replies are sampled."""
    prompts: Sequence[tuple[Prompt, Ids]]
    """The prompts that will be asked, with their tokens."""
    seed: Seed
    allow_other_base: bool = False
    """Take reward models that were trained for another base model."""


class RewardSpec(BaseModel, ABC):
    """A reward as a recipe describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def source(self, setting: Setting) -> RewardSource:
        """Loads and builds it."""

    def references(self) -> list[str]:
        """Models and files that it reads."""
        return []


class TrainedReward(RewardSpec):
    """A reward model."""

    kind: Literal["model"] = "model"
    path: str
    """A reward stage, a folder or a hub name."""

    def source(self, setting: Setting) -> RewardSource:
        """Loads it, frozen."""
        model = load_reward_model(setting.context.model(self.path)).eval()
        model.requires_grad_(False)
        require_same_base(model, setting.policy, allowed=setting.allow_other_base)
        return ModelReward(model, setting.policy.tokenizer)

    def references(self) -> list[str]:
        """The model."""
        return [self.path]


class GoldReward(RewardSpec):
    """The true worth of a reply in a testbed: for upper bounds and for tests."""

    kind: Literal["gold"] = "gold"
    world: Literal["assistant", "arithmetic"] = "assistant"
    """Which world."""

    def source(self, setting: Setting) -> RewardSource:
        """The world's own utility."""
        world = AssistantWorld() if self.world == "assistant" else ArithmeticWorld()
        return FunctionReward(world.gold, "gold")


AnyReward = Annotated[Union[TrainedReward, GoldReward], Field(discriminator="kind")]  # noqa: UP007
"""Every reward that a recipe can name."""


def as_spec(reward: str | RewardSpec) -> RewardSpec:
    """A bare path is a reward model."""
    return TrainedReward(path=reward) if isinstance(reward, str) else reward
