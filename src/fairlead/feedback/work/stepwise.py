"""Work on a solution, step by step."""

from typing import ClassVar, Literal

from fairlead.feedback.work.base import Problem, Subject, Value, Words, Work
from fairlead.records import Record


class Rewrite(Record):
    """What a step should have said."""

    step: int
    text: Words


class StepAnswers(Record):
    """A label for each step that was judged."""

    labels: tuple[Literal[-1, 0, 1] | None, ...]
    """1 right, 0 neutral, -1 wrong, null not judged; may be shorter than the solution."""
    unsure: tuple[int, ...] = ()
    """Indices of steps, from 0."""
    rewrite: Rewrite | None = None
    finish: Literal["found_error", "solution", "give_up", "bad_problem"] | None = None
    """How it ended; found_error and solution are set from the labels."""


class Steps(Work):
    """Whether each step of a solution is right."""

    kind: Literal["steps"] = "steps"
    stop_at_first_error: bool = True
    unsure: bool = True
    rewrite: bool = False
    """Whether people may write what a wrong step should have said."""
    answer: ClassVar[type[Record]] = StepAnswers
    needs_steps: ClassVar[bool] = True

    def problems(self, answer: StepAnswers, subject: Subject) -> list[Problem]:
        """Every step up to the end is judged, unless the person gave up."""
        n = len(subject.steps)
        if len(answer.labels) > n:
            return [("labels", f"the solution has {n} steps, the answer {len(answer.labels)}")]
        found = self._label_problems(answer, n)
        if answer.unsure and not self.unsure:
            found.append(("unsure", "this work has no mark for unsure"))
        if any(not 0 <= step < n for step in answer.unsure):
            found.append(("unsure", "a step that is marked as unsure does not exist"))
        if answer.rewrite and not (self.rewrite and 0 <= answer.rewrite.step < n):
            found.append(("rewrite", "this step cannot be rewritten"))
        return found

    def _label_problems(self, answer: StepAnswers, n: int) -> list[Problem]:
        if answer.finish in ("give_up", "bad_problem"):
            return []
        judged = self._end(answer, n)
        found: list[Problem] = [
            ("labels", f"step {i + 1} is not judged yet")
            for i in range(judged)
            if i >= len(answer.labels) or answer.labels[i] is None
        ]
        if any(label is not None for label in answer.labels[judged:]):
            found.append(("labels", f"steps behind the first error (step {judged}) have a label"))
        wrong = -1 in answer.labels
        if answer.finish is not None and (answer.finish == "found_error") != wrong:
            found.append(("finish", "how it ended does not match the labels"))
        return found

    def _end(self, answer: StepAnswers, n: int) -> int:
        """How many steps have to be judged."""
        if self.stop_at_first_error and -1 in answer.labels:
            return answer.labels.index(-1) + 1
        return n

    def canonical(self, answer: StepAnswers, subject: Subject) -> Value:
        """One label per step, null for those not judged; the ending spelt out."""
        missing = len(subject.steps) - len(answer.labels)
        ending = "found_error" if -1 in answer.labels else "solution"
        return {
            "labels": [*answer.labels, *[None] * missing],
            "unsure": sorted(set(answer.unsure)),
            "rewrite": answer.rewrite.model_dump() if answer.rewrite else None,
            "finish": answer.finish or ending,
        }
