"""Figure and tables of docs/decoding.md, from the results alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.pages import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, cell, drawing, with_blocks

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "decoding.md"
FIGURE = DOCS / "figures" / "decoding.svg"
STAGES = ("decode", "decode-sums")
"""Stages of the recipe that the page shows."""
COLOURS = (VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKS = ("o", "s", "^", "D", "v", "P")


def write_page(result: dict[str, Any]) -> None:
    """Draws the figure and puts the numbers into the page."""
    FIGURE.parent.mkdir(exist_ok=True)
    draw(result, FIGURE)
    PAGE.write_text(filled(PAGE.read_text(), result))


def filled(text: str, result: dict[str, Any]) -> str:
    """The page's text with its marked blocks made from the results."""
    blocks = {
        "setting": setting(result),
        "assistant": table(result["decoded"]["decode"]),
        "sums": table(result["decoded"]["decode-sums"]),
        "counts": counts(result["decoded"]["decode"]),
        "reading": "\n".join(
            reading(result["decoded"][name], title)
            for name, title in (("decode", "assistant"), ("decode-sums", "sums"))
        ),
    }
    return with_blocks(text, blocks)


def draw(result: dict[str, Any], file: Path) -> None:
    """A panel for the reward that decoders go by and one for the truth."""
    figures = result["decoded"]["decode"]["figures"]
    with drawing(file, result, size=(9.0, 4.0), salt="decoding") as canvas:
        panels = canvas.subplots(1, len(figures))
        for axes, figure in zip(panels, figures, strict=True):
            line, *points = figure["series"]
            axes.plot(line["x"], line["y"], color=BLUE, label=line["label"])
            axes.fill_between(line["x"], line["low"], line["high"], color=BLUE, alpha=0.15)
            for place, point in enumerate(points):
                value = point["y"][0]
                axes.errorbar(
                    point["x"],
                    point["y"],
                    yerr=[[value - point["low"][0]], [point["high"][0] - value]],
                    fmt=MARKS[place % len(MARKS)],
                    color=COLOURS[place % len(COLOURS)],
                    ms=5,
                    elinewidth=0.8,
                    label=point["label"],
                )
            axes.set_xlabel(figure["x_label"])
            axes.set_ylabel(figure["y_label"])
        canvas.legend(
            *panels[0].get_legend_handles_labels(),
            frameon=False,
            fontsize=8,
            loc="outside right center",
        )


def setting(result: dict[str, Any]) -> str:
    """What was measured, and on what."""
    machine, beside = result["machine"], result["beside"]
    return (
        f"Seed {result['seed']}. {result['decoded']['decode']['notes'][0]} (assistant); "
        f"{result['decoded']['decode-sums']['notes'][0]} (sums). Held-out accuracy of the reward "
        f"model {cell(beside['reward/reward_model/accuracy'])}; variance of the reward that the "
        f"value model explains half-way through a reply "
        f"{cell(beside['value/value_explains/50%'])}. Measured on {machine['date']} on "
        f"{machine['processor']}."
    )


def table(stage: Mapping[str, Any]) -> str:
    """One row for each way to decode, the cheapest first."""
    estimates, judges = stage["estimates"], _judges(stage)
    heads = [
        "decoder",
        "tokens",
        *(f"{judge} gain over a plain sample" for judge in judges),
        "n at equal tokens",
        *(f"{judge} less best of that n" for judge in judges),
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in _rows(stage):
        name = row["decoder"]
        if f"tokens/{name}" in estimates:
            gains = [cell(estimates[f"{judge}_gain/{name}"]) for judge in judges]
            over = [cell(estimates[f"{judge}_over_best_of_n/{name}"]) for judge in judges]
            cells = [name, f"{row['tokens']:.0f}", *gains, f"{row['n at equal tokens']:.1f}", *over]
        else:
            gains = [cell(_on_the_line(stage, judge, name)) for judge in judges]
            cells = [f"*{name}*", f"{row['tokens']:.0f}", *gains, "", *("" for _ in judges)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _judges(stage: Mapping[str, Any]) -> list[str]:
    return [judge for judge in ("proxy", "gold") if judge in stage["tables"][0]["columns"]]


def _rows(stage: Mapping[str, Any]) -> list[dict[str, Any]]:
    own = stage["tables"][0]
    return [dict(zip(own["columns"], row, strict=True)) for row in own["rows"]]


def _on_the_line(stage: Mapping[str, Any], judge: str, name: str) -> dict[str, float]:
    """The gain of best-of-n, from the figure's line."""
    line = stage["figures"][_judges(stage).index(judge)]["series"][0]
    place = int(name.removeprefix("best of ")).bit_length() - 1
    # Best of 1 is a plain sample up to rounding; it should not read as less than nothing.
    numbers = (round(line[key][place], 6) + 0.0 for key in ("y", "low", "high"))
    return dict(zip(("value", "low", "high"), numbers, strict=True))


def counts(stage: Mapping[str, Any]) -> str:
    """What CARDS counted on the way."""
    lines = ["| decoder | count | mean |", "|---|---|---|"]
    rows = stage["tables"][1]["rows"]
    lines += [f"| {name} | {what} | {x:.2f} |" for name, what, x in rows if "cards" in name]
    return "\n".join(lines)


def reading(stage: Mapping[str, Any], title: str) -> str:
    """Which ways the intervals set apart from best-of-n at equal tokens, in sentences."""
    lines: list[str] = []
    for judge in _judges(stage):
        found = {
            name.partition("/")[2]: e
            for name, e in stage["estimates"].items()
            if name.startswith(f"{judge}_over_best_of_n/")
        }
        more = [name for name, e in found.items() if e["low"] > 0]
        less = [name for name, e in found.items() if e["high"] < 0]
        lines.append(
            f"- **{title}, {judge}, against best-of-n at equal tokens**: more with "
            f"{', '.join(more) or 'none'}; less with {', '.join(less) or 'none'}; the others are "
            "undecided."
        )
    return "\n".join(lines)
