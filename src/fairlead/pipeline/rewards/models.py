"""Rewards that trained models give."""

from collections.abc import Iterable
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat

from fairlead.data.verdicts import VerdictFormat
from fairlead.models.loading import load_policy, load_reward_model, require_same_base
from fairlead.models.reward_model import RewardModel
from fairlead.pipeline.rewards.base import RewardSpec, Setting
from fairlead.rewards.base import RewardSource
from fairlead.rewards.model import ModelReward
from fairlead.rewards.preference import GeneralPreferenceReward, PairwiseGenerativeReward
from fairlead.rewards.process import Aggregation, ProcessReward


class TrainedReward(RewardSpec):
    """A reward model."""

    kind: Literal["model"] = "model"
    path: str
    """A reward stage, a folder or a hub name."""

    def source(self, setting: Setting) -> RewardSource:
        """Loads it, frozen."""
        return ModelReward(self.model(setting), setting.policy.tokenizer)

    def model(self, setting: Setting) -> RewardModel:
        """Loads the model, frozen."""
        model = load_reward_model(setting.context.model(self.path)).eval()
        model.requires_grad_(False)
        require_same_base(model, setting.policy, allowed=setting.allow_other_base)
        return model

    def references(self) -> list[str]:
        """The model."""
        return [self.path]


class InformReward(TrainedReward):
    """An InfoRM reward model that also says how far replies lie from the reference's.

    Miao et al. 2025, arXiv:2510.13694.
    """

    kind: Literal["inform"] = "inform"  # pyright: ignore[reportIncompatibleVariableOverride]
    distance_penalty: NonNegativeFloat = 0.0
    """Taken from the score per unit of Mahalanobis distance in the latent space."""

    def source(self, setting: Setting) -> RewardSource:
        """Fits the cloud of the reference's replies."""
        model = self.model(setting)
        source = ModelReward(model, setting.policy.tokenizer)
        return source.against(setting.replies(), penalty=self.distance_penalty)


class ProcessSpec(TrainedReward):
    """A process reward model, whose steps are lines. Lightman et al. 2023, arXiv:2305.20050."""

    kind: Literal["process"] = "process"  # pyright: ignore[reportIncompatibleVariableOverride]
    aggregate: Aggregation = "minimum"
    """How the steps' probabilities become one score; "last" for outcome reward models."""
    at_steps: bool = False
    """Pay each step's probability at its last token, and nothing for the whole."""

    def source(self, setting: Setting) -> RewardSource:
        """Loads it, frozen."""
        model = self.model(setting)
        return ProcessReward(model, setting.policy.tokenizer, self.aggregate, self.at_steps)


class GeneralPreferenceSpec(TrainedReward):
    """Preference to the other replies to a prompt, which may go in circles.

    Zhang et al. 2024, arXiv:2410.02197.
    """

    kind: Literal["general_preference"] = "general_preference"  # pyright: ignore[reportIncompatibleVariableOverride]
    temperature: PositiveFloat = 0.1
    """Divides the scores, as in training."""

    def source(self, setting: Setting) -> RewardSource:
        """Loads it, frozen."""
        model = self.model(setting)
        return GeneralPreferenceReward(model, setting.policy.tokenizer, self.temperature)


class GPRLSpec(GeneralPreferenceSpec):
    """Advantages from a general preference model, each plane normalised by itself.

    For `credit: {kind: as_scored}`. Umer et al. 2026, arXiv:2605.18721.
    """

    kind: Literal["gprl"] = "gprl"  # pyright: ignore[reportIncompatibleVariableOverride]

    def source(self, setting: Setting) -> RewardSource:
        """Loads it, frozen."""
        model = self.model(setting)
        tokenizer = setting.policy.tokenizer
        return GeneralPreferenceReward(model, tokenizer, self.temperature, advantages=True)


class PairwiseGenerativeSpec(RewardSpec):
    """A policy that was trained to say which of two replies is better.

    Mahan et al. 2024, arXiv:2410.12832.
    """

    kind: Literal["pairwise_generative"] = "pairwise_generative"
    path: str
    """The judging policy: a stage, a folder or a hub name."""
    verdict: VerdictFormat = VerdictFormat()
    """How replies are shown, as in the stage `compare` that trained it."""

    def source(self, setting: Setting) -> RewardSource:
        """Loads it, frozen."""
        judge = load_policy(setting.context.model(self.path)).eval()
        judge.requires_grad_(False)
        return PairwiseGenerativeReward(judge, self.verdict)

    def references(self) -> list[str]:
        """The judge."""
        return [self.path]


def as_spec(reward: str | RewardSpec) -> RewardSpec:
    """A bare path is a reward model."""
    return TrainedReward(path=reward) if isinstance(reward, str) else reward


def references_of(rewards: Iterable[str | RewardSpec]) -> list[str]:
    """Models and files that any of them reads."""
    return [name for reward in rewards for name in as_spec(reward).references()]
