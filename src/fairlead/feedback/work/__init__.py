"""Kinds of work: what is asked, what an answer looks like, and whether it fits its task.

An answer is a JSON object in the kind's own schema. Replies are named by candidate id, never by
position, so an answer means the same whatever order was shown. `renamed` puts other names in their
place: positions for `shown`, indices for imports and exports.
"""

from fairlead.feedback.work.base import Subject, Value, Work, sentences, texts_in, unstorable
from fairlead.feedback.work.comparing import Pairwise, RankingWork
from fairlead.feedback.work.kinds import KINDS, Kind, work_of
from fairlead.feedback.work.scoring import Binary, Likert, Ratings
from fairlead.feedback.work.stepwise import Steps
from fairlead.feedback.work.writing import CritiqueWork, DemonstrationWork, RedTeam

__all__ = [
    "KINDS",
    "Binary",
    "CritiqueWork",
    "DemonstrationWork",
    "Kind",
    "Likert",
    "Pairwise",
    "RankingWork",
    "Ratings",
    "RedTeam",
    "Steps",
    "Subject",
    "Value",
    "Work",
    "sentences",
    "texts_in",
    "unstorable",
    "work_of",
]
