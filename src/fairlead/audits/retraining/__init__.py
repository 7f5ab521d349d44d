"""Training inside an audit: always a copy, never the model that is audited."""

from fairlead.audits.retraining.imitating import FineTuning, fine_tuned
from fairlead.audits.retraining.practising import Practice, practised
from fairlead.audits.retraining.watching import copy_of, gaps_of, looks_at, respondent_of, undecided

__all__ = [
    "FineTuning",
    "Practice",
    "copy_of",
    "fine_tuned",
    "gaps_of",
    "looks_at",
    "practised",
    "respondent_of",
    "undecided",
]
