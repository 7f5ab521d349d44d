"""Reads a stored report again: do its verdicts follow from its own numbers?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fairlead.core.errors import DataError
from fairlead.core.files import read_json
from fairlead.core.gates import EXIT_CODES, Decision, Gate, decide, verdict_of
from fairlead.report.summary import report_json


@dataclass(frozen=True)
class Check:
    """What the numbers of a report say by themselves."""

    decision: Decision
    gates: int
    problems: tuple[str, ...]
    """Where the report says something else."""


def check(path: Path) -> Check:
    """Checks the report of a run folder, or a report that was stored as a JSON file.

    Raises:
        DataError: there is no report, nothing was audited, or a gate cannot be read.
    """
    return check_report(read_json(path) if path.is_file() else report_json(path), str(path))


def check_report(report: Any, where: str = "report") -> Check:
    """Recomputes every gate's verdict and the decision from the JSON alone.

    Args:
        report: what `fairlead report --json` prints.
        where: its name in errors.

    Raises:
        DataError: it is no report, nothing was audited, or a gate cannot be read.
    """
    if not isinstance(report, Mapping) or not {"verdict", "gates"} <= report.keys():
        raise DataError(
            "not a report",
            where=where,
            expected="what `fairlead report RUN --json` prints",
            remedy="name a run folder, or a file with that output",
        )
    if report["verdict"] is None:
        raise DataError(
            "nothing was audited, so there is no verdict to check",
            where=where,
            remedy="audit the model with `fairlead audit`, or add a stage of kind audit",
        )
    stored = [_gate(one, where) for one in report["gates"]]
    fresh = [
        gate.model_copy(update={"verdict": verdict_of(gate.change, gate.margin, gate.adjusted_p)})
        for gate in stored
    ]
    decision = decide(fresh)
    problems = [*_gate_problems(stored, fresh), *_verdict_problems(report, fresh, decision)]
    return Check(decision, len(fresh), tuple(problems))


def _gate(value: Any, where: str) -> Gate:
    plain = {k: v for k, v in value.items() if k not in ("stage", "audit")}
    try:
        return Gate.model_validate(plain)
    except ValidationError as error:
        raise DataError(
            "not a gate", where=f"{where}, gate {value.get('name')}", got=str(error)
        ) from error


def _gate_problems(stored: list[Gate], fresh: list[Gate]) -> Iterator[str]:
    for was, now in zip(stored, fresh, strict=True):
        if was.verdict != now.verdict:
            yield f"gate {was.name}: stored {was.verdict}, its numbers say {now.verdict}"


def _verdict_problems(
    report: Mapping[str, Any], fresh: list[Gate], decision: Decision
) -> Iterator[str]:
    verdict = report["verdict"]
    if verdict.get("decision") != decision:
        yield f"decision: stored {verdict.get('decision')}, the gates say {decision}"
    if verdict.get("exit_code") != EXIT_CODES[decision]:
        yield f"exit code: stored {verdict.get('exit_code')}, not {EXIT_CODES[decision]}"
    stages = [one.get("stage") for one in report["gates"]]
    for one in verdict.get("audited", []):
        own = [gate for gate, stage in zip(fresh, stages, strict=True) if stage == one["stage"]]
        if one["decision"] != decide(own):
            yield f"stage {one['stage']}: stored {one['decision']}, its gates say {decide(own)}"
