"""People whose answers need a second look, each with a reason that a person can read and dispute.

Nothing is deleted here. A finding names a number, its interval, the threshold and the chance of
such a number in honest work; the weights it suggests are for a person to accept.

False alarms are held down for the crowd as a whole. Each kind of finding has a rate of false ones
(`LEVELS`), corrected over all people or pairs of people by Benjamini and Hochberg; where all are
honest that is the chance of any finding of the kind. The rates add up to 11 %, but the null
hypotheses are limits of what is human, not perfection (a leaning of five points to one side, less
skill than others have, some fast answers), and honest crowds stay clear of nearly all of them: the
tests simulate 200 honest crowds of each design and allow 5 % of them one finding about anybody.
"""

from fairlead.feedback.quality.outliers.copying import chernoff
from fairlead.feedback.quality.outliers.find import find_outliers
from fairlead.feedback.quality.outliers.report import LEVELS, Finding, Kind, OutlierReport

__all__ = ["LEVELS", "Finding", "Kind", "OutlierReport", "chernoff", "find_outliers"]
