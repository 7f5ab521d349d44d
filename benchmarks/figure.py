"""The suite's figure: how many times faster, per piece of work and model."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from benchmarks.pages import BLUE, SKY, drawing
from benchmarks.table import TITLES

COLOURS = {"speedup": BLUE, "speedup_tuned": SKY}
LABELS = {"speedup": "than TRL as shipped", "speedup_tuned": "than TRL with its allocator tuned"}


def draw(result: dict[str, Any], file: Path) -> None:
    """A panel for each model, a pair of bars for each piece of work."""
    rows = result["rows"]
    models = sorted({row["model"] for row in rows}, reverse=True)
    names = [name for name in TITLES if any(row["name"] == name for row in rows)]
    size = (4.6 + 2.6 * len(models), 1.3 + 0.42 * len(names))
    with drawing(file, result, size=size, salt="bench", grid="x") as canvas:
        for axes, model in zip(
            canvas.subplots(1, len(models), sharey=True, squeeze=False)[0], models, strict=True
        ):
            _panel(axes, [row for row in rows if row["model"] == model], names)
            axes.set_title(f"model {model}", fontsize=10)
        handles, labels = canvas.axes[0].get_legend_handles_labels()
        canvas.legend(handles, labels, frameon=False, loc="outside lower right", ncols=2)
        canvas.supxlabel("times faster", fontsize=9)


def _panel(axes: Axes, rows: list[dict[str, Any]], names: list[str]) -> None:
    for number, key in enumerate(COLOURS):
        shown = [row for row in rows if row[key] is not None]
        places = [names.index(row["name"]) + 0.36 * (number - 0.5) for row in shown]
        values = [row[key] for row in shown]
        bars = axes.barh(places, values, height=0.34, color=COLOURS[key], label=LABELS[key])
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=7.5)
    axes.axvline(1, color="#888888", linewidth=0.8)
    titles = [TITLES[name].partition(":")[0].partition(" (")[0] for name in names]
    axes.set_yticks(range(len(names)), titles)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.margins(x=0.12)
