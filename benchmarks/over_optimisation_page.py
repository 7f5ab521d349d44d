"""Figure and tables of docs/over-optimisation.md, from the results alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from benchmarks.pages import BLUE, GREEN, VERMILION, cell, drawing, with_blocks
from fairlead.stats.means import mean_estimate

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "over-optimisation.md"
FIGURE = DOCS / "figures" / "over-optimisation.svg"
TITLES = {"single": "single model", "worst": "ensemble, worst case", "par": "PAR"}
JUDGES = {"gold_gain": "gold gain over SFT", "proxy_gain": "proxy gain over SFT\n(deviations)"}
COLOURS = (BLUE, VERMILION, GREEN)
MARKERS = ("o", "s", "^")


def write_page(result: dict[str, Any]) -> None:
    """Draws the figure and puts the numbers into the page."""
    FIGURE.parent.mkdir(exist_ok=True)
    draw(result, FIGURE)
    PAGE.write_text(filled(PAGE.read_text(), result))


def filled(text: str, result: dict[str, Any]) -> str:
    """The page's text with its marked blocks made from the results."""
    blocks = {
        "setting": setting(result),
        "reading": reading(result),
        "methods": methods_table(result),
        "against": against_table(result),
    }
    return with_blocks(text, blocks)


def draw(result: dict[str, Any], file: Path) -> None:
    """Small multiples: gold above, proxy below, a column for each method, a line for each seed."""
    with drawing(file, result, size=(8.6, 5.0), salt="over-optimisation") as canvas:
        grid = canvas.subplots(2, len(TITLES), sharex=True, sharey="row")
        for column, (method, title) in enumerate(TITLES.items()):
            for row, judge in enumerate(JUDGES):
                for number, run in enumerate(result["runs"]):
                    curve = run["methods"][method]["curve"]
                    _line(grid[row, column], curve, judge, number, f"seed {run['seed']}")
            grid[0, column].set_title(title, fontsize=10)
        for row, label in enumerate(JUDGES.values()):
            grid[row, 0].set_ylabel(label)
        grid[0, 0].legend(frameon=False, fontsize=8, loc="lower left")
        canvas.supxlabel("√KL to SFT (√nats per reply)", fontsize=9)


def _line(axes: Axes, curve: list[dict[str, Any]], judge: str, number: int, label: str) -> None:
    ordered = sorted(curve, key=lambda point: point["distance"])
    x = np.array([point["distance"] for point in ordered])
    value, low, high = (np.array([p[judge][k] for p in ordered]) for k in ("value", "low", "high"))
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    axes.axhline(0, color="#888888", linewidth=0.7, zorder=1)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, value, color=colour, marker=marker, markersize=3.2, linewidth=1.3, label=label)


def setting(result: dict[str, Any]) -> str:
    """What was measured, and on what."""
    runs, machine = result["runs"], result["machine"]
    accuracies = "; ".join(
        f"seed {run['seed']} {cell(run['estimates']['reward_model/accuracy'])} "
        f"(ceiling {cell(run['estimates']['reward_model/accuracy_ceiling'])})"
        for run in runs
    )
    comparisons = ", ".join(str(run["comparisons"]) for run in runs)
    steps = runs[0]["methods"]["single"]["curve"][-1]["step"]
    return (
        f"{len(runs)} seeds, {steps} optimizer steps for every method; "
        f"{comparisons} comparisons to train the reward models on; "
        f"{runs[0]['prompts']} held-out prompts with {result['samples']} replies each. "
        f"Held-out accuracy of the single reward model: {accuracies}. "
        f"Measured on {machine['date']} on {machine['processor']}, with one thread."
    )


def methods_table(result: dict[str, Any]) -> str:
    """Every method and seed in a row, and the mean of the seeds below them."""
    columns = ("peak_gain", "final_gain", "fall", "final_proxy_gain", "final_kl")
    lines = [
        "| method | seed | gold at the peak | gold at the end | fall from the peak "
        "| proxy at the end | KL at the end |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, title in TITLES.items():
        for run in result["runs"]:
            cells = [cell(run["methods"][method][column]) for column in columns]
            lines.append(f"| {title} | {run['seed']} | {' | '.join(cells)} |")
        means = [cell(_mean(result, _of(method, column))) for column in columns[:-1]]
        lines.append(f"| **{title}** | **mean** | {' | '.join(means)} | |")
    return "\n".join(lines)


def against_table(result: dict[str, Any]) -> str:
    """Gold of the remedies less that of the single model's policy."""
    lines = [
        "| method | seed | after equal steps | at equal KL | that √KL |",
        "|---|---|---|---|---|",
    ]
    for method in _remedies():
        for run in result["runs"]:
            found = run["methods"][method]["against_single"]
            cells = [cell(found[c]) for c in ("final_gold", "gold_at_common_distance")]
            distance = f"{found['common_distance']:.1f}"
            lines.append(f"| {TITLES[method]} | {run['seed']} | {' | '.join(cells)} | {distance} |")
        names = ("final_gold", "gold_at_common_distance")
        means = [_mean(result, _against(method, name)) for name in names]
        lines.append(f"| **{TITLES[method]}** | **mean** | {' | '.join(map(cell, means))} | |")
    return "\n".join(lines)


def reading(result: dict[str, Any]) -> str:
    """What the intervals say, in sentences."""
    lines = [
        f"- **{title}**: gold falls from its peak in {_above(result, _of(method, 'fall'))}, and "
        f"the proxy ends above SFT's in {_above(result, _of(method, 'final_proxy_gain'))}; gold "
        f"ends below SFT's in {_below(result, _of(method, 'final_gain'))} and above it in "
        f"{_above(result, _of(method, 'final_gain'))}."
        for method, title in TITLES.items()
    ]
    for method in _remedies():
        for name, words in (
            ("final_gold", "after equal steps"),
            ("gold_at_common_distance", "at equal KL"),
        ):
            get = _against(method, name)
            lines.append(
                f"- **{TITLES[method]} against the single model, {words}**: gold is higher in "
                f"{_above(result, get)}, lower in {_below(result, get)}; "
                f"mean of the seeds {cell(_mean(result, get))}."
            )
    return "\n".join(lines)


Get = Callable[[dict[str, Any]], dict[str, float]]


def _of(method: str, name: str) -> Get:
    return lambda run: run["methods"][method][name]


def _against(method: str, name: str) -> Get:
    return lambda run: run["methods"][method]["against_single"][name]


def _remedies() -> list[str]:
    return [method for method in TITLES if method != "single"]


def _above(result: dict[str, Any], get: Get) -> str:
    """Seeds whose whole interval is above 0."""
    return _seeds(sum(get(run)["low"] > 0 for run in result["runs"]), result)


def _below(result: dict[str, Any], get: Get) -> str:
    return _seeds(sum(get(run)["high"] < 0 for run in result["runs"]), result)


def _seeds(count: int, result: dict[str, Any]) -> str:
    return f"{count} of {len(result['runs'])} seeds"


def _mean(result: dict[str, Any], get: Get) -> dict[str, float]:
    """Mean over the seeds with Student's interval: the runs are the units."""
    found = mean_estimate([get(run)["value"] for run in result["runs"]])
    return {"value": found.value, "low": found.low, "high": found.high}
