"""Figure, tables and words of docs/selection.md, from the results alone."""

from pathlib import Path
from typing import Any

from benchmarks.pages import BLUE, GREEN, PURPLE, VERMILION, cell, drawing, with_blocks

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "selection.md"
FIGURE = DOCS / "figures" / "selection.svg"
SHOWN = (
    "![Held-out accuracy of the reward model against the share of labels by people]"
    "(figures/selection.svg)"
)
JUDGES = {"flips": "AI labels with random mistakes", "length": "AI labels that like length"}
STRATEGIES = {
    "random": ("random", BLUE, "o"),
    "rm_margin": ("small margin", VERMILION, "s"),
    "judge_disagreement": ("judges disagree", GREEN, "^"),
    "rlthf": ("RLTHF", PURPLE, "D"),
}


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
        "table": table(result),
        "weights": weights(result),
        "figure": SHOWN,
    }
    return with_blocks(text, blocks)


def draw(result: dict[str, Any], file: Path) -> None:
    """A panel for each judge, a line for each strategy, from nobody's labels to everybody's."""
    seeds = result["seeds"]
    with drawing(file, result, size=(8.0, 3.4), salt="selection") as canvas:
        panels = canvas.subplots(1, len(JUDGES), sharey=True)
        for axes, (judge, title) in zip(panels, JUDGES.items(), strict=True):
            own = seeds["judges"][judge]
            for place, (strategy, (label, colour, mark)) in enumerate(STRATEGIES.items()):
                points = [p for p in own["points"] if p["strategy"] == strategy]
                # Side by side, so that intervals do not hide each other.
                x = [100 * p["share"] + 0.8 * (place - 1.5) for p in points]
                y = [p["accuracy"] for p in points]
                line = [own["nobody"]["value"], *(v["value"] for v in y)]
                axes.plot([0, *x], line, color=colour, linewidth=0.8, alpha=0.6)
                _bars(axes, x, y, colour, mark, label)
            _bars(axes, [0, 100], [own["nobody"], seeds["all_people"]], "#555555", "x", "")
            axes.set_title(title, fontsize=10)
            axes.set_xlabel("labels by people (%)")
        panels[0].set_ylabel("held-out accuracy")
        panels[0].legend(frameon=False, fontsize=8, loc="lower right")


def _bars(axes: Any, x: Any, found: Any, colour: str, mark: str, label: str) -> None:
    y = [one["value"] for one in found]
    spread = [
        [one["value"] - one["low"] for one in found],
        [one["high"] - one["value"] for one in found],
    ]
    axes.errorbar(
        x,
        y,
        yerr=spread,
        fmt=mark,
        color=colour,
        capsize=2,
        ms=4,
        elinewidth=0.8,
        label=label or None,
    )


def setting(result: dict[str, Any]) -> str:
    """What was measured, and on what."""
    runs, machine = result["runs"], result["machine"]
    errors = "; ".join(
        f"{title}: {_mean([run['judges'][judge]['ai_error'] for run in runs]):.3f}"
        for judge, title in JUDGES.items()
    )
    minutes = sum(run["cpu_seconds"] for run in runs) / 60
    sizes = ", ".join(str(run["pairs"]) for run in runs)
    return (
        f"{len(runs)} seeds with {sizes} pairs to label and about {runs[0]['held_out']} held out, "
        f"all of different worth. Error rates, known because the truth is: {errors}; people "
        f"{_mean([run['people_error'] for run in runs]):.3f}. Measured on {machine['date']} on "
        f"{machine['processor']}, one thread, {minutes:.0f} minutes of processor time after SFT."
    )


def reading(result: dict[str, Any]) -> str:
    """What the intervals say, in sentences."""
    lines: list[str] = []
    for judge, title in JUDGES.items():
        own, everyone = result["seeds"]["judges"][judge], result["seeds"]["all_people"]
        lines.append(
            f"- **{title}**: {cell(own['nobody'], digits=3)} with no label by people, "
            f"{cell(everyone, digits=3)} with all."
        )
        for strategy, (label, _, _) in STRATEGIES.items():
            if strategy != "random":
                lines.append(f"  - {label}: {_against_random(own, strategy)}.")
    clear = _clear(result)
    lines.append(
        f"- **Overall**: of {clear[2]} comparisons with random choice, {clear[0]} are clearly "
        f"better and {clear[1]} clearly worse (the 95 % interval over seeds excludes 0, without "
        "correction for their number)."
    )
    return "\n".join(lines)


def _against_random(own: dict[str, Any], strategy: str) -> str:
    parts = [
        f"{cell(p['less_random'], digits=3)} against random at {p['share']:.0%} "
        f"({p['mistakes_found']:.0%} of the AI's mistakes were shown to people)"
        for p in own["points"]
        if p["strategy"] == strategy
    ]
    return ", ".join(parts)


def _clear(result: dict[str, Any]) -> tuple[int, int, int]:
    found = [
        point["less_random"]
        for judge in JUDGES
        for point in result["seeds"]["judges"][judge]["points"]
        if point["strategy"] != "random"
    ]
    better, worse = sum(one["low"] > 0 for one in found), sum(one["high"] < 0 for one in found)
    return better, worse, len(found)


def table(result: dict[str, Any]) -> str:
    """Accuracy over seeds, and each seed's."""
    runs = result["runs"]
    heads = " | ".join(f"seed {run['seed']}" for run in runs)
    lines = [
        f"| AI labels | by people | chosen by | accuracy | less random | {heads} |",
        "|---" * (5 + len(runs)) + "|",
    ]
    for judge, title in JUDGES.items():
        own = result["seeds"]["judges"][judge]
        nobody = [f"{run['judges'][judge]['nobody']['value']:.3f}" for run in runs]
        lines.append(
            f"| {title} | 0 % | | {cell(own['nobody'], digits=3)} | | {' | '.join(nobody)} |"
        )
        for place, point in enumerate(own["points"]):
            each = [run["judges"][judge]["points"][place]["accuracy"]["value"] for run in runs]
            less = "" if point["strategy"] == "random" else cell(point["less_random"], digits=3)
            lines.append(
                f"| {title} | {point['share']:.0%} | {STRATEGIES[point['strategy']][0]} "
                f"| {cell(point['accuracy'], digits=3)} | {less} "
                f"| {' | '.join(f'{value:.3f}' for value in each)} |"
            )
    everyone = [f"{run['all_people']['value']:.3f}" for run in runs]
    total = cell(result["seeds"]["all_people"], digits=3)
    lines.append(f"| none needed | 100 % | | {total} | | {' | '.join(everyone)} |")
    return "\n".join(lines)


def weights(result: dict[str, Any]) -> str:
    """How often AI and people differ: in the pool, in what was chosen, and weighted."""
    lines = [
        "| AI labels | by people | chosen by | in the pool | plain mean of the chosen "
        "| weighted (Horvitz-Thompson) | weighted mean (Hájek) |",
        "|---|---|---|---|---|---|---|",
    ]
    run = result["runs"][0]
    for judge, title in JUDGES.items():
        for point in run["judges"][judge]["points"]:
            own = point["disagreement"]
            lines.append(
                f"| {title} | {point['share']:.0%} | {STRATEGIES[point['strategy']][0]} "
                f"| {own['pool']:.3f} | {own['plain']:.3f} | {cell(own['weighted'], digits=3)} "
                f"| {cell(own['weighted_mean'], digits=3)} |"
            )
    return "\n".join(lines)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
