"""Rewards as recipes name them: typed values that become reward sources.

A reward is a path (of a reward model) or a mapping with a `kind`. Kinds nest: an ensemble has
members, a shaped reward wraps another. What needs replies of the reference (a scale, a line of
length, the sigmoid of PAR) samples them once, before training.
"""

from fairlead.pipeline.rewards.asked import GradeReward, RubricReward
from fairlead.pipeline.rewards.base import REFERENCE_PROMPTS, RewardSpec, Setting
from fairlead.pipeline.rewards.models import (
    GeneralPreferenceSpec,
    GPRLSpec,
    InformReward,
    PairwiseGenerativeSpec,
    ProcessSpec,
    TrainedReward,
    as_spec,
)
from fairlead.pipeline.rewards.nested import (
    AnyReward,
    CentredSpec,
    ClippedSpec,
    EnsembleSpec,
    LengthDebiasedSpec,
    LengthPenaltySpec,
    NormalisedSpec,
    ParSpec,
    Part,
    TanhSpec,
    WeightedSpec,
)
from fairlead.pipeline.rewards.truth import (
    AttributeReward,
    CheckerReward,
    GoldReward,
    JudgeSpec,
    VisibleReward,
)

__all__ = [
    "REFERENCE_PROMPTS",
    "AnyReward",
    "AttributeReward",
    "CentredSpec",
    "CheckerReward",
    "ClippedSpec",
    "EnsembleSpec",
    "GPRLSpec",
    "GeneralPreferenceSpec",
    "GoldReward",
    "GradeReward",
    "InformReward",
    "JudgeSpec",
    "LengthDebiasedSpec",
    "LengthPenaltySpec",
    "NormalisedSpec",
    "PairwiseGenerativeSpec",
    "ParSpec",
    "Part",
    "ProcessSpec",
    "RewardSpec",
    "RubricReward",
    "Setting",
    "TanhSpec",
    "TrainedReward",
    "VisibleReward",
    "WeightedSpec",
    "as_spec",
]
