"""Figure, table and words of docs/iterate.md, from the results alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.pages import BLUE, VERMILION, cell, drawing, with_blocks

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "iterate.md"
FIGURE = DOCS / "figures" / "iterate.svg"
SHOWN = (
    "![Gold gain over SFT by round, and that of one round with as many labels](figures/iterate.svg)"
)


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
        "figure": SHOWN,
    }
    return with_blocks(text, blocks)


def draw(result: dict[str, Any], file: Path) -> None:
    """Gold gain by round for every seed, and the offline run at the same number of labels."""
    rounds = list(range(1, result["rounds"] + 1))
    with drawing(file, result, size=(5.6, 3.4), salt="iterate") as canvas:
        axes = canvas.subplots()
        for number, run in enumerate(result["runs"]):
            values = [point["gold_gain"]["value"] for point in run["online"]]
            label = "three rounds, each seed" if number == 0 else None
            axes.plot(rounds, values, color=BLUE, alpha=0.35, linewidth=1, label=label)
            offline = run["offline"]["gold_gain"]["value"]
            label = "one round, each seed" if number == 0 else None
            axes.plot(
                [rounds[-1] + 0.12], [offline], "s", color=VERMILION, alpha=0.4, ms=4, label=label
            )
        _whiskers(axes, rounds, result["seeds"]["online"], BLUE, "o", "three rounds, mean")
        last = [rounds[-1] + 0.12]
        _whiskers(axes, last, [result["seeds"]["offline"]], VERMILION, "s", "one round, mean")
        axes.axhline(0, color="#888888", linewidth=0.7, zorder=1)
        axes.set_xticks(rounds)
        axes.set_xlabel("round")
        axes.set_ylabel("gold gain over SFT")
        axes.legend(frameon=False, fontsize=8, loc="best")


def _whiskers(
    axes: Any,
    x: Sequence[float],
    found: Sequence[dict[str, float]],
    colour: str,
    mark: str,
    label: str,
) -> None:
    value = [one["value"] for one in found]
    spread = [
        [one["value"] - one["low"] for one in found],
        [one["high"] - one["value"] for one in found],
    ]
    axes.errorbar(x, value, yerr=spread, fmt=mark, color=colour, capsize=3, ms=5, label=label)


def setting(result: dict[str, Any]) -> str:
    """What was run, on what."""
    runs, machine = result["runs"], result["machine"]
    counts = "; ".join(
        f"seed {run['seed']}: {run['labels']['online']} against {run['labels']['offline']}"
        for run in runs
    )
    minutes = sum(run["cpu_seconds"] for run in runs) / 60
    return (
        f"{len(runs)} seeds; {result['rounds']} rounds of {result['prompts']} prompts against one "
        f"of {result['rounds'] * result['prompts']}. Labels that the last reward model saw, online "
        f"against offline (pairs of identical replies cannot be compared and are left out): "
        f"{counts}. {runs[0]['prompts']} held-out prompts with {result['samples']} replies each. "
        f"Measured on {machine['date']} on {machine['processor']}, one thread, "
        f"{minutes:.0f} minutes of processor time."
    )


def reading(result: dict[str, Any]) -> str:
    """What the intervals say, in sentences."""
    seeds, runs = result["seeds"], result["runs"]
    difference = seeds["online_less_offline"]
    higher = sum(run["online_less_offline"]["low"] > 0 for run in runs)
    lower = sum(run["online_less_offline"]["high"] < 0 for run in runs)
    return "\n".join(
        [
            f"- **Online less offline, at equal labels**: {cell(difference)} gold over the seeds: "
            f"{_verdict(difference)}. Within seeds, over prompts, it is higher in {higher} and "
            f"lower in {lower} of {len(runs)}.",
            f"- **Gain over SFT**: {cell(seeds['online'][-1])} after the last round, "
            f"{cell(seeds['offline'])} offline.",
            f"- **From the first round to the last** the mean gain goes from "
            f"{seeds['online'][0]['value']:.2f} to {seeds['online'][-1]['value']:.2f}.",
            f"- **The reward model on its own policy's replies** sides with the truth in "
            f"{_accuracy(result, 'online')} of pairs after the last round, and in "
            f"{_accuracy(result, 'offline')} offline (means over seeds).",
        ]
    )


def _verdict(difference: dict[str, float]) -> str:
    if difference["low"] > 0:
        return "three rounds gain"
    if difference["high"] < 0:
        return "three rounds lose"
    return "the interval contains 0, so these seeds do not tell which is better"


def _accuracy(result: dict[str, Any], arm: str) -> str:
    points = [run[arm][-1] if arm == "online" else run[arm] for run in result["runs"]]
    found = [p["own_accuracy"]["value"] for p in points if p["own_accuracy"] is not None]
    return f"{sum(found) / len(found):.2f}" if found else "none that could be compared"


def table(result: dict[str, Any]) -> str:
    """A row for each seed, and the means."""
    rounds = range(1, result["rounds"] + 1)
    lines = [
        f"| seed | {' | '.join(f'round {n}' for n in rounds)} | offline | online less offline |",
        "|---" * (len(rounds) + 3) + "|",
    ]
    for run in result["runs"]:
        gains = [cell(point["gold_gain"]) for point in run["online"]]
        cells = [*gains, cell(run["offline"]["gold_gain"]), cell(run["online_less_offline"])]
        lines.append(f"| {run['seed']} | {' | '.join(cells)} |")
    seeds = result["seeds"]
    means = [*seeds["online"], seeds["offline"], seeds["online_less_offline"]]
    lines.append(f"| **mean** | {' | '.join(map(cell, means))} |")
    return "\n".join(lines)
