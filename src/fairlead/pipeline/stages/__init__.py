"""The stages that recipes are made of, one file each."""

from typing import Annotated

from pydantic import Field

from fairlead.pipeline.stages.ai_feedback import AIFeedbackStage
from fairlead.pipeline.stages.arithmetic import ArithmeticStage
from fairlead.pipeline.stages.audit import AuditStage
from fairlead.pipeline.stages.best_of import BestOfStage
from fairlead.pipeline.stages.collect import CollectStage
from fairlead.pipeline.stages.compare import CompareStage
from fairlead.pipeline.stages.consistency import ConsistencyStage
from fairlead.pipeline.stages.decode import DecodeStage
from fairlead.pipeline.stages.evaluate import EvaluateStage
from fairlead.pipeline.stages.expert_iteration import ExpertIterationStage
from fairlead.pipeline.stages.feedback import FeedbackStage
from fairlead.pipeline.stages.judge_steps import JudgeStepsStage
from fairlead.pipeline.stages.judgements import JudgementsStage
from fairlead.pipeline.stages.label import LabelStage
from fairlead.pipeline.stages.preference import PreferenceStage
from fairlead.pipeline.stages.prefix_value import PrefixValueStage
from fairlead.pipeline.stages.records import RecordsStage
from fairlead.pipeline.stages.red_team import RedTeamStage
from fairlead.pipeline.stages.revise import ReviseStage
from fairlead.pipeline.stages.reward import RewardStage
from fairlead.pipeline.stages.rl import RLStage
from fairlead.pipeline.stages.self_play import SelfPlayStage
from fairlead.pipeline.stages.sft import SFTStage
from fairlead.pipeline.stages.star import StarStage
from fairlead.pipeline.stages.testbed import TestbedStage
from fairlead.pipeline.stages.verification import VerificationStage

AnyStage = Annotated[
    RecordsStage
    | TestbedStage
    | ArithmeticStage
    | SFTStage
    | LabelStage
    | FeedbackStage
    | CollectStage
    | ReviseStage
    | AIFeedbackStage
    | JudgementsStage
    | JudgeStepsStage
    | RewardStage
    | CompareStage
    | PreferenceStage
    | RLStage
    | ExpertIterationStage
    | StarStage
    | ConsistencyStage
    | VerificationStage
    | SelfPlayStage
    | BestOfStage
    | PrefixValueStage
    | DecodeStage
    | RedTeamStage
    | EvaluateStage
    | AuditStage,
    Field(discriminator="kind"),
]

__all__ = [
    "AIFeedbackStage",
    "AnyStage",
    "ArithmeticStage",
    "AuditStage",
    "BestOfStage",
    "CollectStage",
    "CompareStage",
    "ConsistencyStage",
    "DecodeStage",
    "EvaluateStage",
    "ExpertIterationStage",
    "FeedbackStage",
    "JudgeStepsStage",
    "JudgementsStage",
    "LabelStage",
    "PreferenceStage",
    "PrefixValueStage",
    "RLStage",
    "RecordsStage",
    "RedTeamStage",
    "ReviseStage",
    "RewardStage",
    "SFTStage",
    "SelfPlayStage",
    "StarStage",
    "TestbedStage",
    "VerificationStage",
]
