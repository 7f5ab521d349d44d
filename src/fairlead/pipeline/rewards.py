"""Rewards as recipes name them: typed values that become reward sources.

A reward is a path (of a reward model) or a mapping with a `kind`. Kinds nest: an ensemble has
members, a shaped reward wraps another. What needs replies of the reference (a scale, a line of
length, the sigmoid of PAR) samples them once, before training.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, Ids
from fairlead.data.checks import prompt_of
from fairlead.data.verdicts import VerdictFormat
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.heads import Ensemble
from fairlead.models.loading import load_policy, load_reward_model, require_same_base
from fairlead.models.policy import Policy
from fairlead.models.reward_model import RewardModel
from fairlead.pipeline.stage import Context
from fairlead.records import Problem, Prompt
from fairlead.rewards import shaping
from fairlead.rewards.base import FunctionReward, Reply, RewardSource
from fairlead.rewards.ensemble import AnyCombination, EnsembleReward, Heads, WorstMember
from fairlead.rewards.judge import JudgeReward
from fairlead.rewards.model import ModelReward
from fairlead.rewards.preference import GeneralPreferenceReward, PairwiseGenerativeReward
from fairlead.rewards.process import Aggregation, ProcessReward
from fairlead.rewards.references import ReferenceScores, reference_scores, sample_replies
from fairlead.rewards.verifiers import AnyChecker
from fairlead.rewards.verifiers.reward import CheckedGap, VerifierReward
from fairlead.testbeds.arithmetic import ArithmeticWorld
from fairlead.testbeds.assistant import AssistantWorld
from fairlead.testbeds.judges import ScriptedJudge

REFERENCE_PROMPTS = 256
"""Prompts whose reference replies set a scale or a line of length."""


@dataclass(frozen=True)
class Setting:
    """What a reward may need to know of the run it serves."""

    context: Context
    policy: Policy
    """The policy at its start: the reference, whose tokenizer the replies are in."""
    sampling: Sampling
    """How replies are sampled."""
    prompts: Sequence[tuple[int, Ids]]
    """The prompts that will be asked: (index into `records`, tokens)."""
    records: Sequence[Prompt | Problem]
    seed: Seed
    allow_other_base: bool = False
    """Take reward models that were trained for another base model."""

    @classmethod
    def asking(
        cls,
        records: Sequence[Prompt | Problem],
        *,
        context: Context,
        policy: Policy,
        sampling: Sampling,
        seed: Seed,
    ) -> "Setting":
        """A setting in which all of these are asked."""
        chat = ChatFormat(policy.tokenizer)
        prompts = [(i, chat.prompt_ids(prompt_of(record))) for i, record in enumerate(records)]
        return cls(context, policy, sampling, prompts, records, seed)

    def replies(self) -> list[Reply]:
        """One reply of the reference to each of some prompts."""
        return sample_replies(
            LocalEngine(self.policy),
            self.prompts[:REFERENCE_PROMPTS],
            self.records,
            ChatFormat(self.policy.tokenizer),
            sampling=self.sampling,
            count=1,
            seed=self.seed.child("replies"),
        )

    def reference_scores(self, source: RewardSource, count: int) -> ReferenceScores:
        """Scores of `count` replies of the reference to every prompt."""
        return reference_scores(
            LocalEngine(self.policy),
            source,
            self.prompts,
            self.records,
            ChatFormat(self.policy.tokenizer),
            sampling=self.sampling,
            count=count,
            seed=self.seed.child("references"),
        )


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


class EnsembleSpec(RewardSpec):
    """Several rewards as one. Coste et al. 2023, arXiv:2310.02743."""

    kind: Literal["ensemble"] = "ensemble"
    members: tuple["str | AnyReward", ...] = Field(min_length=1)
    """The rewards; a bare path is a reward model, of which every head counts as a member."""
    combine: AnyCombination = WorstMember()
    """How they are joined."""
    normalise: bool = True
    """Members are brought to one scale on replies of the reference first."""

    def source(self, setting: Setting) -> RewardSource:
        """Builds the members and, where asked, their common scale."""
        members = tuple(_member(as_spec(member).source(setting)) for member in self.members)
        if not self.normalise:
            return EnsembleReward(members, self.combine)
        return EnsembleReward.normalised(members, setting.replies(), combine=self.combine)

    def references(self) -> list[str]:
        """Those of the members."""
        return _references(self.members)


class _Wrapping(RewardSpec):
    of: "str | AnyReward"
    """The reward that is shaped; a bare path is a reward model."""

    def references(self) -> list[str]:
        """Those of the reward within."""
        return _references([self.of])

    def within(self, setting: Setting) -> RewardSource:
        """The reward that is shaped."""
        return as_spec(self.of).source(setting)


class ParSpec(_Wrapping):
    """Preference as reward: how surely a reply beats the reference's.

    Fu et al. 2025, arXiv:2502.18770.
    """

    kind: Literal["par"] = "par"
    references_per_prompt: PositiveInt = 4
    """Replies of the reference to each prompt."""
    k: PositiveFloat = 1.0
    """Steepness of the sigmoid."""

    def source(self, setting: Setting) -> RewardSource:
        """Samples and scores the reference's replies."""
        source = self.within(setting)
        scores = setting.reference_scores(source, self.references_per_prompt)
        return shaping.ParReward(source, scores, self.k)


class CentredSpec(_Wrapping):
    """A score less the mean score of the reference's replies to the same prompt."""

    kind: Literal["centred"] = "centred"
    references_per_prompt: PositiveInt = 4
    """Replies of the reference to each prompt."""

    def source(self, setting: Setting) -> RewardSource:
        """Samples and scores the reference's replies."""
        source = self.within(setting)
        return shaping.Centred(source, setting.reference_scores(source, self.references_per_prompt))


class ClippedSpec(_Wrapping):
    """Scores held within some deviations of the mean on the reference's replies."""

    kind: Literal["clipped"] = "clipped"
    deviations: PositiveFloat = 1.0
    """How many standard deviations."""

    def source(self, setting: Setting) -> RewardSource:
        """Scores replies of the reference for mean and deviation."""
        return shaping.Clipped.on(
            self.within(setting), setting.replies(), deviations=self.deviations
        )


class TanhSpec(_Wrapping):
    """Scores squeezed into (-1, 1)."""

    kind: Literal["tanh"] = "tanh"
    scale: PositiveFloat = 1.0
    """Score at which the tanh reaches about 0.76."""

    def source(self, setting: Setting) -> RewardSource:
        """Wraps it."""
        return shaping.Tanh(self.within(setting), self.scale)


class NormalisedSpec(_Wrapping):
    """Scores with mean 0 and standard deviation 1 on replies of the reference."""

    kind: Literal["normalised"] = "normalised"

    def source(self, setting: Setting) -> RewardSource:
        """Scores replies of the reference for mean and deviation."""
        return shaping.Normalised.on(self.within(setting), setting.replies())


class LengthPenaltySpec(_Wrapping):
    """A cost for every token beyond a length."""

    kind: Literal["length_penalty"] = "length_penalty"
    cost: NonNegativeFloat = 0.01
    """Taken per token."""
    start: PositiveInt = 300
    """Tokens that cost nothing."""

    def source(self, setting: Setting) -> RewardSource:
        """Wraps it."""
        return shaping.LengthPenalty(self.within(setting), self.cost, self.start)


class LengthDebiasedSpec(_Wrapping):
    """Scores less what length explains of them. Singhal et al. 2023, arXiv:2310.03716."""

    kind: Literal["length_debiased"] = "length_debiased"

    def source(self, setting: Setting) -> RewardSource:
        """Fits the line of length on replies of the reference."""
        return shaping.LengthDebiased.on(self.within(setting), setting.replies())


class Part(BaseModel):
    """One part of a weighted reward."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    of: "str | AnyReward"
    """The reward; a bare path is a reward model."""
    weight: float = 1.0
    """What it is multiplied by."""


class WeightedSpec(RewardSpec):
    """A sum of rewards."""

    kind: Literal["weighted"] = "weighted"
    parts: dict[str, Part] = Field(min_length=1)
    """Name, reward and weight of each part; the names are those of the metrics."""

    def source(self, setting: Setting) -> RewardSource:
        """Builds every part."""
        return shaping.Weighted(
            tuple(
                shaping.Term(name, as_spec(part.of).source(setting), part.weight)
                for name, part in self.parts.items()
            )
        )

    def references(self) -> list[str]:
        """Those of the parts."""
        return _references(part.of for part in self.parts.values())


AnyReward = Annotated[
    Union[  # noqa: UP007 - the names are strings until all classes are there
        TrainedReward,
        InformReward,
        ProcessSpec,
        GeneralPreferenceSpec,
        GPRLSpec,
        PairwiseGenerativeSpec,
        GoldReward,
        AttributeReward,
        VisibleReward,
        JudgeSpec,
        CheckerReward,
        EnsembleSpec,
        ParSpec,
        CentredSpec,
        ClippedSpec,
        TanhSpec,
        NormalisedSpec,
        LengthPenaltySpec,
        LengthDebiasedSpec,
        WeightedSpec,
    ],
    Field(discriminator="kind"),
]
"""Every reward that a recipe can name."""

for _spec in (
    EnsembleSpec,
    ParSpec,
    CentredSpec,
    ClippedSpec,
    TanhSpec,
    NormalisedSpec,
    LengthPenaltySpec,
    LengthDebiasedSpec,
    Part,
    WeightedSpec,
):
    _spec.model_rebuild()


def as_spec(reward: str | RewardSpec) -> RewardSpec:
    """A bare path is a reward model."""
    return TrainedReward(path=reward) if isinstance(reward, str) else reward


def _member(source: RewardSource) -> RewardSource | Heads:
    """The heads of a model that has several, as members of their own."""
    if isinstance(source, ModelReward) and isinstance(source.model.settings, Ensemble):
        count = source.model.settings.members
        return Heads(source, tuple(f"member_{number}" for number in range(count)))
    return source


def _references(rewards: Iterable[str | RewardSpec]) -> list[str]:
    return [name for reward in rewards for name in as_spec(reward).references()]
