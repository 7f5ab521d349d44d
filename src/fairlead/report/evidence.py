"""Writes the papers of a model from its run: card, datasheet, bill of materials, report, map."""

import json
from pathlib import Path

from fairlead.core.errors import DataError
from fairlead.core.files import sha256_file, write_text
from fairlead.lineage.ancestry import ancestry, made_by
from fairlead.lineage.bill import bill_of_materials
from fairlead.lineage.cards import Released, datasheet, model_card
from fairlead.lineage.data_sets import campaigns, data_sets
from fairlead.report.clauses import clauses
from fairlead.report.collect import RunView, StageView, read_view
from fairlead.report.markdown import report_markdown
from fairlead.report.page import render
from fairlead.report.summary import summary
from fairlead.report.verdict import Ruling, because, headline, ruling_of

SUMS = "SHA256SUMS"
"""Hashes of all other files of the pack, as `sha256sum -c` reads them."""


def write_evidence(run_dir: Path, folder: Path) -> list[Path]:
    """Writes the evidence pack of the model that a run audited, or else made last.

    Returns:
        What was written.

    Raises:
        DataError: the folder holds no readable run, or no run made the model.
    """
    view = read_view(run_dir)
    released = _released(run_dir, view)
    texts = {
        "README.md": model_card(released),
        "datasheet.md": datasheet(released),
        "bill.cdx.json": _as_json(bill_of_materials(released)),
        "clauses.md": clauses(),
        "report.html": render(run_dir),
        "report.json": _as_json(summary(view)),
        "report.md": report_markdown(run_dir),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    sums = (f"{sha256_file(folder / name)}  {name}\n" for name in sorted(texts))
    write_text(folder / SUMS, "".join(sums))
    return [folder / name for name in (*texts, SUMS)]


def _released(run_dir: Path, view: RunView) -> Released:
    ruling = ruling_of(view)
    home, stage = _origin(run_dir, view, ruling)
    origin = ancestry(home, stage)
    return Released(
        ancestry=origin,
        data=tuple(data_sets(home, origin)),
        campaigns=tuple(campaigns(home, origin)),
        decision=ruling.decision if ruling else None,
        gates=tuple(row.gate for row in ruling.rows) if ruling else (),
        estimates=tuple(
            e.model_copy(update={"name": f"{stage.record.name}: {e.name}"})
            for stage in view.stages
            for e in stage.result.estimates
        ),
        remarks=tuple(dict.fromkeys([*_open(ruling), *(note for _, note in view.notes)])),
    )


def _open(ruling: Ruling | None) -> list[str]:
    """Why hard gates do not pass, and what audits want known."""
    if ruling is None:
        return []
    said = [
        f"{headline(row.gate)}: {because(row.gate)}"
        for row in ruling.hard
        if row.gate.verdict != "pass"
    ]
    return said + [note for one in ruling.audited for f in one.findings for note in f.remarks]


def _origin(run_dir: Path, view: RunView, ruling: Ruling | None) -> tuple[Path, str]:
    """Run folder and stage that made the candidate; without an audit, the run's last model.

    A candidate from outside is followed into the run that it lies in.
    """
    if ruling is None:
        made = [stage.record.name for stage in view.stages if _has_model(stage)]
        if made:
            return run_dir, made[-1]
        raise _no_model(view, "no stage with a model")
    candidate = ruling.audited[-1].candidate
    if candidate.name.startswith("@"):
        return run_dir, candidate.name[1:].split("/")[0]
    found = made_by(candidate.path, candidate.digest) if candidate.path else None
    if found is None:
        raise _no_model(view, candidate.name)
    return found


def _has_model(stage: StageView) -> bool:
    outputs = stage.manifest.outputs if stage.manifest else {}
    return any(name.startswith("model/") for name in outputs)


def _no_model(view: RunView, got: str) -> DataError:
    return DataError(
        "no run made the model that papers are asked for",
        where=view.run.name,
        expected="a model of this run, or a candidate that lies in the folder of another",
        got=got,
        remedy="name the run that trained the model, or audit it where it was made",
    )


def _as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
