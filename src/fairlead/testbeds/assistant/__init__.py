"""A small world of questions and answers with a known truth, for aligning a tiny assistant."""

from fairlead.testbeds.assistant.attributes import GoldUtility, ReplyAttributes
from fairlead.testbeds.assistant.questions import KINDS, Kind, Split
from fairlead.testbeds.assistant.replies import DEMONSTRATOR, IDEAL, WEB, ReplyRates
from fairlead.testbeds.assistant.world import AssistantWorld

__all__ = [
    "DEMONSTRATOR",
    "IDEAL",
    "KINDS",
    "WEB",
    "AssistantWorld",
    "GoldUtility",
    "Kind",
    "ReplyAttributes",
    "ReplyRates",
    "Split",
]
