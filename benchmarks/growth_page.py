"""Figures and tables of docs/performance.md, from the results alone."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.pages import BLUE, VERMILION, drawing, with_blocks

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance.md"
FIGURES = DOCS / "figures"
LABELS = {
    "length": "sequence length (tokens)",
    "vocabulary": "vocabulary (tokens)",
    "replies": "ranked replies to a prompt",
    "group": "sampled replies to a prompt",
    "parameters": "parameters",
}
TIME, MEMORY = BLUE, VERMILION


def write_page(result: dict[str, Any]) -> None:
    """Draws the figures and puts the numbers into the page."""
    FIGURES.mkdir(exist_ok=True)
    for name in result["axes"]:
        draw(result, name, figure(name))
    PAGE.write_text(filled(PAGE.read_text(), result))


def figure(name: str) -> Path:
    """Where an axis is drawn."""
    return FIGURES / f"growth-{name}.svg"


def filled(text: str, result: dict[str, Any]) -> str:
    """The page's text with its marked blocks made from the results."""
    blocks = {"setting": setting(result), "exponents": exponents_table(result)}
    blocks |= {name: points_table(result, name) for name in result["axes"]}
    return with_blocks(text, blocks)


def draw(result: dict[str, Any], name: str, file: Path) -> None:
    """Time on the left, memory on the right, both over doubly logarithmic axes."""
    points = result["axes"][name]["points"]
    exponents = result["axes"][name]["exponents"]
    x = [point["size"] for point in points]
    with drawing(file, result, size=(8.0, 2.9), salt="growth") as canvas:
        time, memory = canvas.subplots(1, 2)
        low, high = ([p[k] for p in points] for k in ("fastest", "slowest"))
        time.fill_between(x, low, high, color=TIME, alpha=0.15, linewidth=0)
        _line(time, x, [p["seconds"] for p in points], TIME, "step")
        time.set_ylabel("seconds per step")
        time.set_title(f"exponent {exponents['seconds']:.2f}", fontsize=10)
        _line(memory, x, [p["memory_mib"] for p in points], MEMORY, "all beyond the loaded model")
        state = [p["state_mib"] for p in points]
        memory.plot(x, state, color="#888888", linestyle="--", label="gradients and moments")
        memory.set_ylabel("MiB")
        memory.set_title(f"exponent {exponents['memory']:.2f} of the rest", fontsize=10)
        memory.legend(frameon=False, fontsize=8)
        canvas.supxlabel(LABELS[name], fontsize=9)


def _line(axes: Axes, x: list[float], y: list[float], colour: str, label: str) -> None:
    axes.loglog(x, y, color=colour, marker="o", markersize=3.5, linewidth=1.3, label=label)
    for side in (axes.xaxis, axes.yaxis):
        side.set_minor_formatter(NullFormatter())
        side.set_minor_locator(LogLocator(subs=(2, 5)))


def setting(result: dict[str, Any]) -> str:
    """Where it was measured."""
    machine = result["machine"]
    points = sum(len(axis["points"]) for axis in result["axes"].values())
    return (
        f"{points} points, each in a fresh process, measured on {machine['date']} on "
        f"{machine['processor']}, {machine['cpus']} CPUs, float32, "
        f"torch {machine['versions']['torch']}."
    )


def exponents_table(result: dict[str, Any]) -> str:
    """How time and memory grow along every axis."""
    lines = ["| what grows | from | to | time | memory |", "|---|---|---|---|---|"]
    for name, axis in result["axes"].items():
        first, last = (axis["points"][i]["size"] for i in (0, -1))
        grown = axis["exponents"]
        cells = f"{grown['seconds']:.2f} | {grown['memory']:.2f}"
        lines.append(f"| {LABELS[name]} | {first:,} | {last:,} | {cells} |")
    return "\n".join(lines)


def points_table(result: dict[str, Any], name: str) -> str:
    """Every point of an axis."""
    lines = [
        f"| {LABELS[name]} | ms per step | fastest to slowest | MiB beyond the loaded model "
        "| of these gradients and moments |",
        "|---|---|---|---|---|",
    ]
    for point in result["axes"][name]["points"]:
        median, low, high = (1000 * point[k] for k in ("seconds", "fastest", "slowest"))
        lines.append(
            f"| {point['size']:,} | {median:.0f} | {low:.0f} to {high:.0f} "
            f"| {point['memory_mib']:.0f} | {point['state_mib']:.0f} |"
        )
    return "\n".join(lines)
