"""Rewards made of other rewards: ensembles, sums, and shapes around one of them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from fairlead.models.heads import Ensemble
from fairlead.pipeline.rewards.asked import GradeReward, RubricReward
from fairlead.pipeline.rewards.base import RewardSpec, Setting
from fairlead.pipeline.rewards.models import (
    GeneralPreferenceSpec,
    GPRLSpec,
    InformReward,
    PairwiseGenerativeSpec,
    ProcessSpec,
    TrainedReward,
    as_spec,
    references_of,
)
from fairlead.pipeline.rewards.truth import (
    AttributeReward,
    CheckerReward,
    GoldReward,
    JudgeSpec,
    VisibleReward,
)
from fairlead.rewards import shaping
from fairlead.rewards.base import RewardSource
from fairlead.rewards.ensemble import AnyCombination, EnsembleReward, Heads, WorstMember
from fairlead.rewards.model import ModelReward


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
        return references_of(self.members)


def _member(source: RewardSource) -> RewardSource | Heads:
    """The heads of a model that has several, as members of their own."""
    if isinstance(source, ModelReward) and isinstance(source.model.settings, Ensemble):
        count = source.model.settings.members
        return Heads(source, tuple(f"member_{number}" for number in range(count)))
    return source


class _Wrapping(RewardSpec):
    of: "str | AnyReward"
    """The reward that is shaped; a bare path is a reward model."""

    def references(self) -> list[str]:
        """Those of the reward within."""
        return references_of([self.of])

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
        return references_of(part.of for part in self.parts.values())


AnyReward = Annotated[
    TrainedReward
    | InformReward
    | ProcessSpec
    | GeneralPreferenceSpec
    | GPRLSpec
    | PairwiseGenerativeSpec
    | GoldReward
    | AttributeReward
    | VisibleReward
    | JudgeSpec
    | GradeReward
    | RubricReward
    | CheckerReward
    | EnsembleSpec
    | ParSpec
    | CentredSpec
    | ClippedSpec
    | TanhSpec
    | NormalisedSpec
    | LengthPenaltySpec
    | LengthDebiasedSpec
    | WeightedSpec,
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
