"""Which stage of a run is at fault: checks of what the run itself measured, with remedies."""

from fairlead.report.diagnose.checks import Area, Check
from fairlead.report.diagnose.diagnosis import (
    CHECKS,
    Diagnosis,
    Fault,
    Finding,
    Verdict,
    diagnose,
)

__all__ = ["CHECKS", "Area", "Check", "Diagnosis", "Fault", "Finding", "Verdict", "diagnose"]
