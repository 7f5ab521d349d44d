"""A run's report as JSON, for other programs; the verdict follows from it alone."""

import math
from pathlib import Path
from typing import Any

from fairlead.core.estimates import NamedEstimate
from fairlead.core.gates import EXIT_CODES
from fairlead.report.collect import RunView, read_view
from fairlead.report.groups import heading
from fairlead.report.verdict import Audited, GateRow, Ruling, ruling_of

ESTIMATE_FIELDS = ("name", "value", "low", "high", "n", "method", "seed", "level")


def report_json(run_dir: Path) -> dict[str, Any]:
    """What the report says, as JSON values.

    Returns:
        run: name, seed, started, finished, seconds and recipe. verdict: decision, exit_code,
        models, judge and counts; null where nothing was audited. gates: every field of each, with
        stage and audit. audits: findings without their gates. estimates: stage, name, value, low,
        high, n, method, seed and level each; null where a number does not exist. stages: as in
        run.json. notes: sentences.

    Raises:
        DataError: the folder holds no readable run.
    """
    return summary(read_view(run_dir))


def summary(view: RunView) -> dict[str, Any]:
    """The same of a run that was read."""
    run = view.run.model_dump(mode="json")
    ruling = ruling_of(view)
    return {
        "run": {key: run[key] for key in ("name", "seed", "started", "finished", "recipe")}
        | {"seconds": view.seconds},
        "verdict": _verdict(ruling) if ruling else None,
        "gates": [_gate(row) for row in ruling.rows] if ruling else [],
        "audits": [found for one in ruling.audited for found in _audits(one)] if ruling else [],
        "estimates": [
            {"stage": stage.record.name} | _plain(estimate)
            for stage in view.stages
            for estimate in stage.result.estimates
        ],
        "stages": run["stages"],
        "notes": [note for _, note in view.notes],
    }


def _verdict(ruling: Ruling) -> dict[str, Any]:
    return {
        "decision": ruling.decision,
        "exit_code": EXIT_CODES[ruling.decision],
        "hard_gates": ruling.counts,
        "unscored": ruling.unscored,
        "audited": [
            {
                "stage": one.stage,
                "candidate": {"name": one.candidate.name, "sha256": one.candidate.digest or None},
                "baseline": {"name": one.baseline.name, "sha256": one.baseline.digest or None},
                "judge": one.judge or None,
                "judge_status": list(one.judge_status),
                "caveats": list(one.caveats),
                "decision": one.decision,
            }
            for one in ruling.audited
        ],
    }


def _gate(row: GateRow) -> dict[str, Any]:
    return {"stage": row.stage, "audit": row.audit, **row.gate.model_dump(mode="json")}


def _audits(one: Audited) -> list[dict[str, Any]]:
    return [
        {"stage": one.stage, "kind": kind, "group": heading(kind)}
        | finding.model_dump(mode="json", exclude={"gates"})
        for finding, kind in zip(one.findings, one.kinds, strict=True)
    ]


def _plain(estimate: NamedEstimate) -> dict[str, Any]:
    values = {name: getattr(estimate, name) for name in ESTIMATE_FIELDS}
    missing = {k: None for k, v in values.items() if isinstance(v, float) and not math.isfinite(v)}
    return values | missing
