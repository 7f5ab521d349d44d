"""A task of Inspect as a capability gate: Inspect asks and scores, the gate compares."""

import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from fairlead.audits.base import Audit, Model, Subject
from fairlead.audits.harnesses.paired import Scores, score_gate, worst_losses
from fairlead.core.results import Finding

SOURCE = "Inspect, UK AI Security Institute"
QUESTION = "Does the model still solve what the baseline solves?"


class InspectTask(Audit):
    """Runs a task of Inspect on both models; needs `pip install fairlead[inspect]`."""

    kind: Literal["inspect_task"] = "inspect_task"
    task: str
    """A file (`task.py`, `task.py@name`), or the name of an installed task."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Of the task."""
    score: str | None = None
    """Name of the scorer that counts; None where the task has one."""
    limit: PositiveInt | None = None
    """Items at most; None for all."""
    max_tokens: PositiveInt = 512
    """Longest reply, where the task does not say."""
    margin: NonNegativeFloat = Field(default=0.02, le=1)
    """Largest loss of the mean score that is accepted."""

    def run(self, subject: Subject) -> Finding:
        """Has Inspect ask both models."""
        ours = self._scores(subject.candidate, subject)
        theirs = self._scores(subject.baseline, subject)
        name = f"{self.title}/{self.score or 'score'}"
        gate = score_gate(name, "loss of mean score", ours, theirs, self.margin, hard=self.hard)
        return Finding(
            audit=self.title,
            question=QUESTION,
            gates=(gate,),
            passages=worst_losses(name, ours, theirs),
            source=SOURCE,
        )

    def _scores(self, model: Model, subject: Subject) -> Scores:
        from fairlead.audits.harnesses.inspect import read_log, run_task

        with tempfile.TemporaryDirectory() as folder:
            log = run_task(
                self.task,
                model,
                limit=self.limit,
                max_tokens=self.max_tokens,
                arguments=self.arguments,
                seed=subject.seed.child(self.title).value % 2**31,
                folder=Path(folder),
            )
            return read_log(log, self.score)
