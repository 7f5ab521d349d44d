"""Writes the papers of a model from its run: card, datasheet, bill of materials, report, map."""

import json
from pathlib import Path

from fairlead.core.errors import DataError
from fairlead.core.files import sha256_file, write_text
from fairlead.lineage.ancestry import ancestry
from fairlead.lineage.bill import bill_of_materials
from fairlead.lineage.cards import Released, datasheet, model_card
from fairlead.lineage.data_sets import campaigns, data_sets
from fairlead.report.clauses import clauses
from fairlead.report.collect import RunView, read_view
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
        DataError: the folder holds no readable run, or the run made no model.
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
    origin = ancestry(run_dir, _stage(view, ruling))
    return Released(
        ancestry=origin,
        data=tuple(data_sets(run_dir, origin)),
        campaigns=tuple(campaigns(run_dir, origin)),
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
    return said + [note for one in ruling.audited for f in one.findings for note in f.notes]


def _stage(view: RunView, ruling: Ruling | None) -> str:
    """The stage that made the candidate; without an audit, the last one that made a model."""
    audited = [one.candidate.name for one in ruling.audited] if ruling else []
    inside = [name[1:].split("/")[0] for name in audited if name.startswith("@")]
    if inside:
        return inside[-1]
    made = [
        stage.record.name
        for stage in view.stages
        if stage.manifest and any(name.startswith("model/") for name in stage.manifest.outputs)
    ]
    if audited or not made:
        raise DataError(
            "this run made no model that could have papers",
            where=view.run.name,
            expected="a candidate that a stage of the run trained",
            got=", ".join(audited) or "no stage with a model",
            remedy="name the run that trained the model",
        )
    return made[-1]


def _as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
