"""A task of lm-evaluation-harness as a capability gate: it asks and scores, the gate compares."""

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from fairlead.audits.base import Audit, Need, Subject
from fairlead.audits.harnesses.paired import score_gate, worst_losses
from fairlead.core.results import Finding


class LmEvalTask(Audit):
    """Runs a task of lm-eval on both models; needs `pip install fairlead[lm-eval]`."""

    kind: Literal["lm_eval_task"] = "lm_eval_task"
    task: str
    """Name of the task, or a YAML file that describes one."""
    metric: str = "acc"
    """Which of the task's numbers by item counts; from 0 to 1."""
    few_shot: int | None = Field(default=None, ge=0)
    """Worked examples in the prompt; None for the task's own number."""
    limit: PositiveInt | None = None
    """Items at most; None for all."""
    chat: bool = False
    """Put questions by the model's chat template."""
    margin: NonNegativeFloat = Field(default=0.02, le=1)
    """Largest loss of the mean score that is accepted."""
    needs: ClassVar[frozenset[Need]] = frozenset({"weights"})

    def run(self, subject: Subject) -> Finding:
        """Has lm-eval ask both models."""
        from fairlead.audits.harnesses.lm_eval import evaluated

        ours, theirs = (
            evaluated(
                self.task,
                model,
                metric=self.metric,
                few_shot=self.few_shot,
                limit=self.limit,
                chat=self.chat,
                seed=subject.seed.child(self.title).value % 2**31,
            )
            for model in (subject.candidate, subject.baseline)
        )
        name = f"{self.title}/{self.metric}"
        gate = score_gate(name, "loss of mean score", ours, theirs, self.margin, hard=self.hard)
        return Finding(
            audit=self.title,
            question="Does the model still solve what the baseline solves?",
            gates=(gate,),
            passages=worst_losses(name, ours, theirs),
            source="lm-evaluation-harness, EleutherAI",
        )
