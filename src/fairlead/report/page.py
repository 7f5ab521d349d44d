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
from fairlead.report.collect import RunView, StageView, read_view
from fairlead.report.drawing import draw_curve, draw_figure, legend_mark

SHOWN_SAMPLES = 6
"""Sample prompts that are open at first; the others unfold."""

_MAIN_CURVES = re.compile(
    r"^loss($|/)|^reward($|/)|(^|[/_])kl([/_]|$)|grad(ient)?_norm|tokens_per_second", re.IGNORECASE
)


def render(run_dir: Path) -> str:
    """The report of a run folder as an HTML document.

    Raises:
        DataError: the folder holds no readable run.
    """
    view = read_view(run_dir)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            view=view,
            estimates=[(s.record.name, e) for s in view.stages for e in s.result.estimates],
            figures=[(s.record.name, f) for s in view.stages for f in s.result.figures],
            tables=[(s.record.name, t) for s in view.stages for t in s.result.tables],
            curves=[(s.record.name, *_split_curves(s)) for s in view.stages if s.curves],
            samples=[sample for s in view.stages for sample in s.result.samples],
            shown_samples=SHOWN_SAMPLES,
            facts=_facts(view),
        )
    )


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


def number(value: Any) -> str:
    """A number for people: about four figures; other values as text."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "n/a"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else _decimal(value)


def _decimal(value: float) -> str:
    size = abs(value)
    if size and (size < 0.001 or size >= 1e7):
        text = f"{value:.2e}"
    elif size >= 1000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3f}" if size < 10 else f"{value:.1f}"
    return text.replace("-", "\N{MINUS SIGN}")


def duration(seconds: float) -> str:
    """A duration for people: "0.4 s", "12 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


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
        "duration": duration,
        "moment": _moment,
        "bar": interval_bar,
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "draw": draw_figure,
        "mark": legend_mark,
        "is_number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    }
    return environment
