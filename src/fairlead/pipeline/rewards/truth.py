"""Rewards that need no model: worlds whose truth is known, and checkers of answers."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from fairlead.pipeline.rewards.base import RewardSpec, Setting
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward, RewardSource
from fairlead.rewards.judge import JudgeReward
from fairlead.rewards.verifiers import AnyChecker
from fairlead.rewards.verifiers.reward import CheckedGap, VerifierReward
from fairlead.testbeds.arithmetic import ArithmeticWorld
from fairlead.testbeds.assistant import AssistantWorld
from fairlead.testbeds.judges import ScriptedJudge


class GoldReward(RewardSpec):
    """The true worth of a reply in a testbed: for upper bounds and for tests."""

    kind: Literal["gold"] = "gold"
    world: Literal["assistant", "arithmetic"] = "assistant"
    """Which world."""

    def source(self, setting: Setting) -> RewardSource:
        """The world's own utility."""
        world = AssistantWorld() if self.world == "assistant" else ArithmeticWorld()
        return FunctionReward(world.gold, "gold")


class AttributeReward(RewardSpec):
    """One thing that a reply of the assistant's world does, as a number.

    For costs and temptations whose size is known, such as 1 for telling how to do harm.
    """

    kind: Literal["attribute"] = "attribute"
    attribute: Literal["complies", "agrees_with_user", "refuses", "hedges", "padding", "length"] = (
        "complies"
    )
    """What is read off the reply's text; `length` is in words."""

    def source(self, setting: Setting) -> RewardSource:
        """The world's own reader of replies."""
        world = AssistantWorld()
        name = self.attribute

        def read(prompt: Prompt, response: str) -> float:
            return float(getattr(world.attributes(prompt, response), name))

        return FunctionReward(read, name)


class JudgeSpec(RewardSpec):
    """A judge who writes verdicts; here a scripted one with known faults.

    Any other judge enters from Python, as `JudgeReward(judge)`. Lee et al. 2023, arXiv:2309.00267,
    section 2.2.2.
    """

    kind: Literal["judge"] = "judge"
    world: Literal["assistant", "arithmetic"] = "assistant"
    """The testbed whose truth it knows."""
    noise: NonNegativeFloat = 0.5
    """Standard deviation of its error, in units of worth."""
    unreadable: float = Field(default=0.05, ge=0, lt=1)
    """Probability that a verdict cannot be read; such a reply gets the mean of its group."""

    def source(self, setting: Setting) -> RewardSource:
        """The judge behind the protocol that all judges have."""
        world = AssistantWorld() if self.world == "assistant" else ArithmeticWorld()
        seed = setting.seed.child("judge")
        return JudgeReward(ScriptedJudge(world, self.noise, self.unreadable, seed))


class VisibleReward(RewardSpec):
    """The arithmetic world's checker that can be fooled, to see whether a policy does."""

    kind: Literal["visible"] = "visible"

    def source(self, setting: Setting) -> RewardSource:
        """The world's visible checker."""
        return FunctionReward(ArithmeticWorld().visible_reward, "visible")


class CheckerReward(RewardSpec):
    """Checks replies against the answers of problems. Lambert et al. 2024, arXiv:2411.15124."""

    kind: Literal["checker"] = "checker"
    checker: AnyChecker
    """What is rewarded."""
    hidden: AnyChecker | None = None
    """A second checker that is only measured, to see whether the first is gamed."""
    scale: PositiveFloat = 1.0
    """Reward of a right reply."""

    def source(self, setting: Setting) -> RewardSource:
        """The checker, with the hidden one beside it where there is one."""
        if self.hidden is None:
            return VerifierReward(self.checker, scale=self.scale)
        return CheckedGap(self.checker, self.hidden, scale=self.scale)
