"""Figure and table of the watch in docs/over-optimisation.md, from the results alone."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from benchmarks.pages import BLUE, GREEN, VERMILION, cell, drawing, with_blocks
from fairlead.stats.means import mean_estimate

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "over-optimisation.md"
FIGURE = DOCS / "figures" / "watch.svg"
TITLES = {"watched": "the world's truth", "by-model": "a second reward model"}
COLOURS = {"held-out reward": BLUE, "reward trained on": VERMILION}


def write_page(result: dict[str, Any]) -> None:
    """Draws the figure and puts the numbers into the page."""
    FIGURE.parent.mkdir(exist_ok=True)
    draw(result, FIGURE)
    PAGE.write_text(filled(PAGE.read_text(), result))


def filled(text: str, result: dict[str, Any]) -> str:
    """The page's text with its marked blocks made from the results."""
    blocks = {"watch-setting": setting(result), "watch-table": table(result)}
    return with_blocks(text, blocks)


def draw(result: dict[str, Any], file: Path) -> None:
    """A column for each seed and a row for each watch, with the alarm and the policy kept."""
    with drawing(file, result, size=(9.6, 4.6), salt="watch") as canvas:
        grid = canvas.subplots(len(TITLES), len(result["runs"]), sharex=True, sharey="row")
        for column, run in enumerate(result["runs"]):
            for row, name in enumerate(TITLES):
                if name in run["watch"]:
                    _panel(grid[row, column], run["watch"][name])
            grid[0, column].set_title(f"seed {run['seed']}", fontsize=10)
        for row, title in enumerate(TITLES.values()):
            grid[row, 0].set_ylabel(f"watched by\n{title}", fontsize=9)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        canvas.legend(
            handles, labels, frameon=False, fontsize=8, loc="outside upper center", ncols=4
        )
        canvas.supxlabel("updates", fontsize=9)


def _panel(axes: Axes, watch: dict[str, Any]) -> None:
    axes.axhline(0, color="#888888", linewidth=0.7, zorder=1)
    for label, colour in COLOURS.items():
        line = watch["curves"][label]
        axes.fill_between(line["x"], line["low"], line["high"], color=colour, alpha=0.15, lw=0)
        axes.plot(line["x"], line["y"], color=colour, marker="o", markersize=2.5, label=label)
    if watch["onset"] is not None:
        axes.axvline(watch["onset"], color="#444444", linestyle="--", linewidth=1, label="alarm")
        axes.axvline(watch["kept"], color=GREEN, linestyle=":", linewidth=1.6, label="kept")


def setting(result: dict[str, Any]) -> str:
    """What was measured, and on what."""
    runs, machine = result["runs"], result["machine"]
    prompts = ", ".join(str(run["prompts"]) for run in runs)
    return (
        f"{len(runs)} seeds; worth measured on {prompts} prompts that neither training nor a watch "
        f"has seen, {result['samples']} replies each. "
        f"Measured on {machine['date']} on {machine['processor']}, with one thread."
    )


def table(result: dict[str, Any]) -> str:
    """Every seed in a row, and the mean of the seeds below them."""
    lines = [
        "| watched by | seed | alarm at update | kept | gold gain, unwatched, at the end "
        "| gold gain of what was kept | kept less unwatched |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        for run in _runs(result, name):
            watch = run["watch"][name]
            alarm = "none" if watch["onset"] is None else str(watch["onset"])
            kept = "the last" if watch["onset"] is None else f"update {watch['kept']}"
            gains = [cell(run["gain"]["unwatched"]), cell(run["gain"][name])]
            more = cell(run["over_unwatched"][name])
            lines.append(f"| {' | '.join([title, str(run['seed']), alarm, kept, *gains, more])} |")
        if _runs(result, name):
            lines.append(_means(result, name, title))
    return "\n".join(lines)


def _runs(result: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [run for run in result["runs"] if name in run["watch"]]


def _means(result: dict[str, Any], name: str, title: str) -> str:
    """Means of the seeds with t intervals over them."""
    columns = (("gain", "unwatched"), ("gain", name), ("over_unwatched", name))
    values = [[run[part][key]["value"] for run in _runs(result, name)] for part, key in columns]
    cells = [cell(mean_estimate(v).model_dump()) if len(v) > 1 else "" for v in values]
    return f"| **{title}** | **mean** | | | {' | '.join(cells)} |"
