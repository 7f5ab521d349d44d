"""The report as one self-contained web page: no scripts, no requests, light and dark."""

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fairlead.core.estimates import Estimate
from fairlead.core.files import write_text
from fairlead.core.results import Passage
from fairlead.core.unseen import shown
from fairlead.report.collect import RunView, StageView, read_view
from fairlead.report.drawing import draw_curve, draw_figure, legend_mark
from fairlead.report.forest import axis, mark
from fairlead.report.groups import grouped
from fairlead.report.numbers import duration, number
from fairlead.report.reproducing import commands
from fairlead.report.verdict import (
    Ruling,
    because,
    changes,
    headline,
    misled,
    ruling_of,
    unscored_words,
)

SHOWN_SAMPLES = 6
"""Sample prompts that are open at first; the others unfold."""

SHOWN_PASSAGES = 3
"""Passages of a gate that are open at first."""

SUMMARY_GATES, SUMMARY_REASONS, SUMMARY_REMARKS = 16, 12, 3
"""Gates on the summary, which prints on two pages, sentences about them, and about judge and
unscored answers each; what stops a release comes first, the others follow further down."""

_MAIN_CURVES = re.compile(
    r"^loss($|/)|^reward($|/)|(^|[/_])kl([/_]|$)|grad(ient)?_norm|tokens_per_second", re.IGNORECASE
)


def render(run_dir: Path) -> str:
    """The report of a run folder as an HTML document.

    Raises:
        DataError: the folder holds no readable run.
    """
    view = read_view(run_dir)
    ruling = ruling_of(view)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            view=view,
            ruling=ruling,
            **(_ruled(ruling) if ruling else {"groups": [], "passages": {}}),
            estimates=[(s.record.name, e) for s in view.stages for e in s.result.estimates],
            figures=[(s.record.name, f) for s in view.stages for f in s.result.figures],
            tables=[(s.record.name, t) for s in view.stages for t in s.result.tables],
            curves=[(s.record.name, *_split_curves(s)) for s in view.stages if s.curves],
            samples=[sample for s in view.stages for sample in s.result.samples],
            shown_samples=SHOWN_SAMPLES,
            facts=_facts(view),
            commands=commands(view),
        )
    )


def _ruled(ruling: Ruling) -> dict[str, Any]:
    """What the page shows of the audits."""
    on = axis([row.gate for row in ruling.rows])
    rows = [(row, mark(row.gate, on)) for row in ruling.rows]
    passages: dict[str, list[Passage]] = {}
    for passage in (p for one in ruling.audited for f in one.findings for p in f.passages):
        passages.setdefault(passage.about, []).append(passage)
    return {
        "axis": on,
        "gates": rows[:SUMMARY_GATES],
        "more_gates": rows[SUMMARY_GATES:],
        "flattered": [said for row in ruling.rows if (said := misled(row.gate))],
        "groups": grouped(ruling),
        "passages": passages,
        "shown_passages": SHOWN_PASSAGES,
        "summary_reasons": SUMMARY_REASONS,
        "summary_remarks": SUMMARY_REMARKS,
    }


def write_report(run_dir: Path) -> Path:
    """Writes RUN/report.html and returns its path.

    Raises:
        DataError: the folder holds no readable run, or cannot be written.
    """
    path = run_dir / "report.html"
    write_text(path, render(run_dir))
    return path


@dataclass(frozen=True)
class Bar:
    """Where an interval lies on its axis, in per cent of the axis' length."""

    left: float
    right: float
    low: float
    high: float
    value: float
    zero: float | None
    """Place of zero; None where it is the left end."""


def interval_bar(estimate: Estimate) -> Bar | None:
    """Places an interval on an axis: 0 to 1 or -1 to 1 where it fits, else one that includes 0.

    Returns:
        None where the estimate has no finite interval.
    """
    numbers = (estimate.value, estimate.low, estimate.high)
    if not all(map(math.isfinite, numbers)):
        return None
    left, right = _axis(min(numbers), max(numbers))

    def place(number: float) -> float:
        return round(100 * (number - left) / (right - left), 2)

    zero = place(0) if left < 0 else None
    return Bar(left, right, place(estimate.low), place(estimate.high), place(estimate.value), zero)


def _axis(low: float, high: float) -> tuple[float, float]:
    if low >= -1 and high <= 1:
        return (0.0 if low >= 0 else -1.0), 1.0
    return min(0.0, 1.1 * low), max(0.0, 1.1 * high)


def _moment(value: datetime) -> Markup:
    text = Markup('<time datetime="{}">{}</time>')
    return text.format(value.isoformat(), f"{value.day} {value:%B %Y, %H:%M} {value.tzname()}")


def _split_curves(stage: StageView) -> tuple[list[Any], list[Any]]:
    """The curves that everybody looks at first, and the rest, both drawn."""
    drawn = [(curve, draw_curve(curve, stage.record.name)) for curve in stage.curves]
    main = [pair for pair in drawn if _MAIN_CURVES.search(pair[0].name)]
    return main, [pair for pair in drawn if pair not in main]


def _facts(view: RunView) -> dict[str, list[str]]:
    """Distinct values over the stages of what should be equal: device, code and versions."""
    facts: dict[str, list[str]] = {}
    for manifest in (stage.manifest for stage in view.stages):
        if manifest is None:
            continue
        code = manifest.code
        revision = (code.revision or "not a git checkout") + (" + changes" if code.dirty else "")
        named = {"Device": manifest.device, "Fairlead": code.version, "Code revision": revision}
        for name, value in {**named, **manifest.versions}.items():
            values = facts.setdefault(name, [])
            if value not in values:
                values.append(value)
    return facts


def environment() -> Environment:
    """What pages are made with: their templates and how they write numbers."""
    environment = Environment(
        loader=PackageLoader("fairlead.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "shown": shown,
        "breakable": lambda name: Markup("/<wbr>").join(name.split("/")),
        "headline": headline,
        "because": because,
        "misled": misled,
        "changes": lambda gate: changes(gate.change, gate.margin),
        "unscored": unscored_words,
        "beside": lambda finding: [("", estimate) for estimate in finding.estimates],
        "duration": duration,
        "moment": _moment,
        "bar": interval_bar,
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "draw": draw_figure,
        "mark": legend_mark,
        "is_number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    }
    return environment
