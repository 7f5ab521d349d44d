"""Two logs of Inspect as a gate: what was evaluated elsewhere is compared by item here."""

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from fairlead.audits.base import Audit, Subject
from fairlead.audits.harnesses.paired import score_gate, worst_losses
from fairlead.audits.inspect_task import QUESTION, SOURCE
from fairlead.core.results import Finding


class InspectLogs(Audit):
    """Compares logs of the same task by item; needs `pip install fairlead[inspect]`."""

    kind: Literal["inspect_logs"] = "inspect_logs"
    candidate_log: str
    """The candidate's log, `.eval` or `.json`."""
    baseline_log: str
    """The baseline's log of the same task."""
    score: str | None = None
    """Name of the scorer that counts; None where the logs have one."""
    margin: NonNegativeFloat = Field(default=0.02, le=1)
    """Largest loss of the mean score that is accepted."""
    file_fields: ClassVar[tuple[str, ...]] = ("candidate_log", "baseline_log")

    def run(self, subject: Subject) -> Finding:
        """Reads both logs; asks nobody."""
        from fairlead.audits.harnesses.inspect import read_log

        ours = read_log(subject.locate(self.candidate_log), self.score)
        theirs = read_log(subject.locate(self.baseline_log), self.score)
        name = f"{self.title}/{self.score or 'score'}"
        gate = score_gate(name, "loss of mean score", ours, theirs, self.margin, hard=self.hard)
        return Finding(
            audit=self.title,
            question=QUESTION,
            gates=(gate,),
            passages=worst_losses(name, ours, theirs),
            notes=("The logs say which models were asked; nothing was asked here.",),
            source=SOURCE,
        )
