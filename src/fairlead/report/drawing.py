"""Figures as inline SVG that takes its colours and fonts from the page around it."""

import io
import math
import re
import textwrap
from html import escape
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from fairlead.core.results import Figure, Number, Series
from fairlead.report.collect import Curve

COLOURS = 6
"""Series colours that the page's style defines; more series repeat them."""

CURVE_POINTS = 300
"""Most points that a curve is drawn with."""

_INK, _GRID = "#000001", "#000002"
_LINES = ("-", "--", ":", "-.")
_DASHES = ("none", "7 3", "2 3", "7 3 2 3")
_MARKERS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼"}

# matplotlib knows no CSS variables: these stand-in colours are exchanged in the finished SVG.
_VARIABLES = {_INK: "var(--muted)", _GRID: "var(--line)"} | {
    f"#0000{number + 16:02x}": f"var(--c{number})" for number in range(COLOURS)
}

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-4, 5),
    "axes.formatter.use_mathtext": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _GRID,
    "xtick.labelcolor": _INK,
    "ytick.color": _GRID,
    "ytick.labelcolor": _INK,
    "text.color": _INK,
}


def draw_figure(figure: Figure, *, legend: bool = False) -> Markup:
    """A stage's figure as an SVG element; the page adds title, caption and as a rule the legend."""
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": figure.title}):
        # Narrow, so that its text is still read where a phone shrinks it; a legend takes room.
        canvas = Canvas(figsize=(5.6 if legend else 4.3, 2.9), layout="constrained")
        axes = canvas.subplots()
        for number, series in enumerate(figure.series):
            _draw_series(axes, series, number)
        axes.set_xlabel(textwrap.fill(figure.x_label, 60))
        axes.set_ylabel(textwrap.fill(figure.y_label, 36))
        if legend:
            canvas.legend(frameon=False, fontsize=8, loc="outside right center")
        labels = ", ".join(series.label for series in figure.series)
        return _svg(canvas, f"{figure.title}: {figure.y_label} by {figure.x_label} for {labels}")


def draw_curve(curve: Curve, stage: str) -> Markup:
    """A training curve as a small SVG element."""
    steps, values, width = thin(curve.steps, curve.values)
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": f"{stage} {curve.name}"}):
        canvas = Canvas(figsize=(3.0, 1.8), layout="constrained")
        axes = canvas.subplots()
        marker = "o" if len(steps) == 1 else ""
        axes.plot(steps, values, color=_colour(0), linewidth=1.4, marker=marker, markersize=4)
        axes.locator_params(nbins=5)
        axes.set_xlabel("step" if width == 1 else f"step (means of {width})")
        return _svg(canvas, f"{curve.name} of stage {stage} over {len(curve.steps)} steps")


def legend_mark(series: Series, number: int) -> Markup:
    """The sign of a figure's series for a legend: colour, and dash or marker shape."""
    colour = f"var(--c{number % COLOURS})"
    if series.style == "points":
        sign = list(_MARKERS.values())[number % len(_MARKERS)]
        return Markup('<span style="color: {}" aria-hidden="true">{}</span> ').format(colour, sign)
    line = (
        '<svg viewBox="0 0 28 14" aria-hidden="true"><line x1="0" x2="28" y1="7" y2="7" '
        'style="stroke: {}; stroke-width: 3; stroke-dasharray: {}"/></svg>'
    )
    return Markup(line).format(colour, _DASHES[number % len(_DASHES)])  # noqa: S704 - our own line


def thin(
    steps: list[float], values: list[float], most: int = CURVE_POINTS
) -> tuple[list[float], list[float], int]:
    """Means over equally many neighbouring points, so that at most `most` remain.

    Returns:
        Last step and mean of each group (nan where nothing in it was finite), and the group's size.
    """
    width = math.ceil(len(steps) / most) or 1
    groups = [values[start : start + width] for start in range(0, len(values), width)]
    finite = [[value for value in group if math.isfinite(value)] for group in groups]
    means = [sum(group) / len(group) if group else math.nan for group in finite]
    last = [steps[min(start + width, len(steps)) - 1] for start in range(0, len(steps), width)]
    return last, means, width


def _draw_series(axes: Axes, series: Series, number: int) -> None:
    colour, x, y = _colour(number), np.array(series.x), _array(series.y)
    points = series.style == "points"
    if series.low is not None and series.high is not None:
        low, high = _array(series.low), _array(series.high)
        if points:
            axes.vlines(x, low, high, color=colour, linewidth=1.2)
        else:
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    if points:
        marker = list(_MARKERS)[number % len(_MARKERS)]
        axes.plot(
            x, y, color=colour, linestyle="", marker=marker, markersize=4.5, label=series.label
        )
    else:
        dash = _LINES[number % len(_LINES)]
        axes.plot(x, y, color=colour, linestyle=dash, linewidth=1.7, label=series.label)


def _array(values: tuple[Number, ...]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], dtype=float)


def _colour(number: int) -> str:
    return f"#0000{number % COLOURS + 16:02x}"


def _svg(canvas: Canvas, description: str) -> Markup:
    """The canvas as an SVG element without size, metadata and matplotlib's ids for groups."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    canvas.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    label = escape(description)
    head = f'<svg {box.group()} role="img" aria-label="{label}"'
    links = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg"'
    body = text[text.index(">") + 1 :]
    return Markup(f"{head} {links}><title>{label}</title>{body}")  # noqa: S704 - escaped above
