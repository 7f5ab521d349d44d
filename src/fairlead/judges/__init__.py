"""Models and services that judge and criticise replies, behind one protocol.

Nothing here needs torch but `local`, a model in this process, and `reward`, judges as rewards.
"""

from fairlead.judges.asking import Answer, Question, Respondent, State
from fairlead.judges.direct import DirectJudge, DirectSettings
from fairlead.judges.pairwise import (
    Outcome,
    Pair,
    PairwiseJudge,
    PairwiseSettings,
    RationaleSettings,
)
from fairlead.judges.rubric import Rubric, RubricJudge
from fairlead.judges.scoring import ReplyScorer, Score

__all__ = [
    "Answer",
    "DirectJudge",
    "DirectSettings",
    "Outcome",
    "Pair",
    "PairwiseJudge",
    "PairwiseSettings",
    "Question",
    "RationaleSettings",
    "ReplyScorer",
    "Respondent",
    "Rubric",
    "RubricJudge",
    "Score",
    "State",
]
