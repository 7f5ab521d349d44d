"""Does what was aligned survive a user's own fine-tuning?

Fine-tuning on harmless data can undo refusals (Qi et al. 2023, arXiv:2310.03693). A copy of the
candidate is fine-tuned on a user's records, and other audits hold it against the candidate before.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny

from fairlead.audits.base import AUDITS, Audit, Model, Need, Subject
from fairlead.audits.retraining import FineTuning, copy_of, fine_tuned, respondent_of, undecided
from fairlead.core.gates import Gate
from fairlead.core.results import Finding, Table
from fairlead.data.chat import ChatFormat, encode
from fairlead.data.convert import demonstrations
from fairlead.generation.local import evaluating
from fairlead.models.policy import Policy
from fairlead.models.reference import sequence_logps
from fairlead.records import Demonstration
from fairlead.stats.means import paired_difference


def _as_audit(value: Any) -> Any:
    """Settings by `kind`; all kinds are known by the time that a recipe is read."""
    if isinstance(value, Audit):
        return value
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind not in AUDITS:
        raise ValueError(f"expected one of {', '.join(sorted(AUDITS))}, got kind {kind!r}")
    return AUDITS[kind].model_validate(value)


Nested = Annotated[SerializeAsAny[Audit], BeforeValidator(_as_audit)]
"""Any other audit, by its `kind`."""


LOOKED_AT = 64
"""Replies whose likelihood shows whether the fine-tuning took."""

UNTAUGHT = (
    "The replies fine-tuned on did not become surely likelier, so nothing was put to the test: "
    "raise `training.steps` or `training.learning_rate`."
)


class FineTuningAudit(Audit):
    """Fine-tunes a copy of the candidate and audits it against the candidate as it was."""

    kind: Literal["fine_tuning"] = "fine_tuning"
    data: str
    """What a user would fine-tune on: harmless demonstrations of his own field."""
    audits: tuple[Nested, ...] = Field(min_length=1)
    """What is measured before and after; the model before stands in the baseline's place."""
    training: FineTuning = FineTuning()
    """How the user would do it."""
    file_fields: ClassVar[tuple[str, ...]] = ("data", "nested_data")
    needs: ClassVar[frozenset[Need]] = frozenset({"weights"})

    @property
    def nested_data(self) -> tuple[str, ...]:
        """Files that the nested audits name."""
        values = [getattr(audit, field) for audit in self.audits for field in audit.file_fields]
        several = [v if isinstance(v, list | tuple) else (v,) for v in values]
        return tuple(name for names in several for name in names if name)

    def check(self, subject: Subject) -> None:
        """Refuses what this or a nested audit lacks.

        Raises:
            ConfigError: something is not there.
        """
        super().check(subject)
        for audit in self.audits:
            audit.check(subject)

    def run(self, subject: Subject) -> Finding:
        """Trains the copy, then runs the audits on before and after."""
        seed = subject.seed.child(self.title)
        records = demonstrations(subject.records(self.data))
        policy = copy_of(subject.candidate, self.training.lora, seed)
        before = self._likelihood(policy, records)
        report = fine_tuned(policy, records, self.training, seed.child("training"))
        gained = paired_difference(self._likelihood(policy, records), before)
        name = f"{subject.candidate.name} after {self.training.steps} steps"
        after = respondent_of(policy, name, seed.child("after"))
        found = compared(self.title, self.audits, after, subject, hard=self.hard)
        notes = (
            f"Fine-tuned on {self.data} ({report}), one training run: the intervals cover items, "
            "not other runs of the training.",
            *(() if gained.low > 0 else (UNTAUGHT,)),
            *found.notes,
        )
        learned = gained.named("gain of the replies fine-tuned on, nats per reply")
        return found.model_copy(
            update={
                "notes": notes,
                "estimates": (learned, *found.estimates),
                "gates": found.gates if gained.low > 0 else tuple(map(_unless_failed, found.gates)),
            }
        )

    def _likelihood(self, policy: Policy, records: Sequence[Demonstration]) -> list[float]:
        """Log-probability of some of the replies, in nats."""
        length = min(self.training.max_length, policy.context)
        items, _ = encode(records[:LOOKED_AT], ChatFormat(policy.tokenizer), max_length=length)
        with evaluating(policy.model):
            sums = sequence_logps(policy, items, tokens=self.training.microbatch_tokens)
        return [own[0] for own in sums]


def _unless_failed(gate: Gate) -> Gate:
    return gate if gate.verdict == "fail" else undecided(gate)


def compared(
    title: str, audits: Sequence[Audit], after: Model, subject: Subject, *, hard: bool = True
) -> Finding:
    """What the audits find of the model after training, held against the candidate before.

    Args:
        title: of the whole; gates are named after it and the audit they are from.
        audits: what is measured.
        after: the model after training.
        subject: its candidate is the model before.
        hard: whether the gates may take part in the decision.
    """
    inside = replace(subject, candidate=after, baseline=subject.candidate)
    found = [audit.run(inside) for audit in audits]
    gates = [
        gate.model_copy(update={"name": f"{title}/{gate.name}", "hard": hard and gate.hard})
        for finding in found
        for gate in finding.gates
    ]
    rows = tuple(
        (
            gate.harm,
            None if gate.baseline is None else gate.baseline.value,
            None if gate.candidate is None else gate.candidate.value,
            gate.change.low,
            gate.change.high,
            gate.margin,
            gate.verdict,
        )
        for gate in gates
    )
    columns = ("harm", "before", "after", "change from", "to", "margin", "verdict")
    passages = [
        passage.model_copy(update={"about": f"{title}/{passage.about}"})
        for finding in found
        for passage in finding.passages
    ]
    return Finding(
        audit=title,
        question="Does the alignment survive a user's fine-tuning?",
        gates=tuple(gates),
        estimates=tuple(e for finding in found for e in finding.estimates),
        tables=(
            Table(title="Before and after fine-tuning", columns=columns, rows=rows),
            *(table for finding in found for table in finding.tables),
        ),
        figures=tuple(figure for finding in found for figure in finding.figures),
        passages=tuple(passages),
        judge=tuple(dict.fromkeys(said for finding in found for said in finding.judge)),
        notes=tuple(note for finding in found for note in finding.notes),
        source="Qi et al. 2023, arXiv:2310.03693",
    )
