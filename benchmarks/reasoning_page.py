"""Figures and tables of docs/reasoning.md, from the results alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.pages import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    cell,
    drawing,
    with_blocks,
)

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "reasoning.md"
FIGURES = DOCS / "figures"
LEARNERS = {
    "ppo": "PPO, credit per token",
    "macro-ngram": "MA-RLHF, macros of 5 tokens",
    "macro-steps": "MA-RLHF, macros are lines",
    "grpo": "GRPO, 8 replies per prompt",
}
"""Stages that learn from the checker, and what they are called."""
CHOICES = {
    "majority": "majority vote",
    "outcome": "outcome reward",
    "process (minimum)": "process reward, minimum of steps",
    "process (product)": "process reward, product of steps",
    "outcome, votes": "votes weighed by the outcome reward",
    "process (product), votes": "votes weighed by the process reward",
}
"""Ways of choosing that are compared with each other, each with those before it."""
SHOWN = {"any right": "any right (the most there is)", **CHOICES}
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, "#555555")
MARKERS = ("o", "s", "^", "D", "v", "P", "")
DASHES = ("-", "--", "-.", (0, (4, 1, 1, 1, 1, 1)), (0, (6, 2)), (0, (2, 1)), ":")

Result = dict[str, Any]
Run = dict[str, Any]
Get = Callable[[Run], dict[str, float]]


def write_page(result: Result) -> None:
    """Draws the figures and puts the numbers into the page."""
    FIGURES.mkdir(exist_ok=True)
    _save(FIGURES / "reasoning-curves.svg", _draw_curves, result)
    _save(FIGURES / "reasoning-choices.svg", _draw_choices, result)
    PAGE.write_text(filled(PAGE.read_text(), result))


def filled(text: str, result: Result) -> str:
    """The page's text with its marked blocks made from the results."""
    blocks = {
        "setting": setting(result),
        "learning": learning_table(result),
        "judges": judges_table(result),
        "choices": choices_table(result),
        "differences": differences_table(result),
        "reading": reading(result),
    }
    return with_blocks(text, blocks)


def pooled(result: Result, get: Get) -> dict[str, float]:
    """Mean over the seeds, whose problems are independent draws: their errors add in quadrature.

    The interval speaks of new problems for these trained models, not of newly trained ones.
    """
    found = [get(run) for run in result["runs"]]
    value = float(np.mean([e["value"] for e in found]))
    half = float(np.sqrt(sum(((e["high"] - e["low"]) / 2) ** 2 for e in found))) / len(found)
    return {"value": value, "low": value - half, "high": value + half}


def setting(result: Result) -> str:
    """What was measured, on what, and for how long."""
    runs, machine = result["runs"], result["machine"]
    start = cell(pooled(result, _level("any right", 1)))
    minutes = sum(run["seconds"] for run in runs) / 60
    return (
        f"{len(runs)} seeds ({', '.join(str(run['seed']) for run in runs)}). One reply of the "
        f"policy after SFT is right with probability {start}. Measured on {machine['date']} on "
        f"{machine['processor']} with one thread for each seed: {minutes:.0f} minutes by the clock "
        "for all seeds, on a machine that other work was using."
    )


def learning_table(result: Result) -> str:
    """Held-out gain of every method and seed."""
    lines = [
        "| method | seed | held-out accuracy over SFT | KL to SFT (nats per reply) "
        "| training reward, mean of the run | token passes (millions) |",
        "|---|---|---|---|---|---|",
    ]
    for method, title in LEARNERS.items():
        for run in result["runs"]:
            gain, kl = (_estimate(f"evaluate/{name}/{method}")(run) for name in ("gold_gain", "kl"))
            work = run["curves"][method][-1]["token_passes"] / 1e6
            cells = [cell(gain), cell(kl), f"{mean_reward(run, method):.3f}", f"{work:.2f}"]
            lines.append(f"| {title} | {run['seed']} | {' | '.join(cells)} |")
        gain = pooled(result, _estimate(f"evaluate/gold_gain/{method}"))
        kl = pooled(result, _estimate(f"evaluate/kl/{method}"))
        mean = np.mean([mean_reward(run, method) for run in result["runs"]])
        lines.append(f"| **{title}** | **all** | {cell(gain)} | {cell(kl)} | {mean:.3f} | |")
    return "\n".join(lines)


def mean_reward(run: Run, method: str) -> float:
    """Training reward over all rollout batches: the sooner a method learns, the higher."""
    return float(np.mean([point["score"] for point in run["curves"][method]]))


def judges_table(result: Result) -> str:
    """How well the reward models judge held-out samples of the policy."""
    rows = {
        "process reward: accuracy of its verdicts on steps": "process/reward_model/step_accuracy",
        "always the same verdict on steps": "process/baseline/always_the_same_step",
        "process reward: area under the curve, steps": "process/reward_model/step_auc",
        "process reward: first error found, or that there is none": (
            "process/reward_model/first_error_located"
        ),
        "outcome reward: accuracy of its verdicts on solutions": (
            "outcome/reward_model/outcome_accuracy"
        ),
        "always the same verdict on solutions": "outcome/baseline/always_the_same_outcome",
        "outcome reward: area under the curve, solutions": "outcome/reward_model/outcome_auc",
    }
    seeds = [str(run["seed"]) for run in result["runs"]]
    lines = [
        f"| | {' | '.join(f'seed {seed}' for seed in seeds)} | all |",
        f"|---|{'---|' * (len(seeds) + 1)}",
    ]
    for title, name in rows.items():
        get = _estimate(name)
        cells = [*(cell(get(run)) for run in result["runs"]), cell(pooled(result, get))]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def choices_table(result: Result) -> str:
    """Accuracy of the chosen answer, over all seeds."""
    sizes = _sizes(result)
    lines = [
        f"| choice | {' | '.join(f'n = {n}' for n in sizes)} |",
        f"|---|{'---|' * len(sizes)}",
    ]
    names = result["runs"][0]["choices"]["levels"]
    for name in sorted(names, key=list(SHOWN).index):
        cells = [cell(pooled(result, _level(name, n))) for n in sizes]
        lines.append(f"| {SHOWN[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences_table(result: Result) -> str:
    """Differences at equal samples, paired by problem, over all seeds."""
    sizes = [n for n in _sizes(result) if n > 1]
    lines = [
        f"| difference | {' | '.join(f'n = {n}' for n in sizes)} |",
        f"|---|{'---|' * len(sizes)}",
    ]
    for name in _differences(result):
        first, _, second = name.partition(" over ")
        cells = [cell(pooled(result, _gain(name, n)), digits=3) for n in sizes]
        lines.append(f"| {CHOICES[first]} less {CHOICES[second]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def reading(result: Result) -> str:
    """What the intervals say, in sentences."""
    lines: list[str] = []
    for method, title in LEARNERS.items():
        get = _estimate(f"evaluate/gold_gain/{method}")
        lines.append(
            f"- **{title}**: held-out accuracy rises by {cell(pooled(result, get))}; the whole "
            f"interval is above 0 in {_seeds(result, get)}."
        )
    for name in _differences(result):
        first, _, second = name.partition(" over ")
        better, worse = (_where(result, name, sign) for sign in (1, -1))
        lines.append(
            f"- **{CHOICES[first]}, against {CHOICES[second]}**: better at {better}, worse at "
            f"{worse}, by the pooled interval."
        )
    return "\n".join(lines)


def _differences(result: Result) -> list[str]:
    """Names of the differences between a process reward and what is none."""
    names = [name.partition(" over ") for name in result["runs"][0]["choices"]["gains"]]
    return [
        f"{first} over {second}"
        for first, _, second in names
        if first.startswith("process") and not second.startswith("process")
    ]


def _where(result: Result, name: str, sign: int) -> str:
    """The numbers of samples at which a difference is surely above (1) or below (-1) zero."""
    found = [
        n
        for n in _sizes(result)[1:]
        if (e := pooled(result, _gain(name, n))) and (e["low"] > 0 if sign > 0 else e["high"] < 0)
    ]
    return f"n = {', '.join(map(str, found))}" if found else "no n"


def _seeds(result: Result, get: Get) -> str:
    count = sum(get(run)["low"] > 0 for run in result["runs"])
    return f"{count} of {len(result['runs'])} seeds"


def _sizes(result: Result) -> list[int]:
    return list(result["runs"][0]["choices"]["sizes"])


def _estimate(name: str) -> Get:
    return lambda run: run["estimates"][name]


def _level(choice: str, n: int) -> Get:
    return lambda run: run["choices"]["levels"][choice][str(n)]


def _gain(name: str, n: int) -> Get:
    return lambda run: run["choices"]["gains"][name][str(n)]


def _save(file: Path, draw: Callable[[Figure, Result], None], result: Result) -> None:
    with drawing(file, result, size=(6.4, 4.2), salt="reasoning") as canvas:
        draw(canvas, result)


def _draw_curves(canvas: Figure, result: Result) -> None:
    """Training reward against work: the mean of the seeds, and each seed faintly behind it."""
    axes = canvas.subplots()
    for number, (method, title) in enumerate(LEARNERS.items()):
        curves = [run["curves"][method] for run in result["runs"]]
        length = min(map(len, curves))
        work = np.array([[p["token_passes"] / 1e6 for p in c[:length]] for c in curves])
        score = np.array([smoothed([p["score"] for p in c[:length]]) for c in curves])
        for x, y in zip(work, score, strict=True):
            axes.plot(x, y, color=COLOURS[number], linewidth=0.8, alpha=0.35)
        _line(axes, work.mean(axis=0), score.mean(axis=0), number, title)
    axes.set_xlabel("work (millions of token passes)")
    axes.set_ylabel("training reward: share of right replies\n(mean of 3 rollout batches)")
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def smoothed(values: Sequence[float]) -> np.ndarray:
    """Mean of each value and those beside it."""
    padded = np.pad(np.array(values), 1, constant_values=np.nan)
    return np.nanmean(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)


def _draw_choices(canvas: Figure, result: Result) -> None:
    """Accuracy of the chosen answer against the number of samples, with intervals."""
    axes, sizes = canvas.subplots(), _sizes(result)
    for number, (name, title) in enumerate([*CHOICES.items(), ("any right", SHOWN["any right"])]):
        points = [pooled(result, _level(name, n)) for n in sizes]
        value, low, high = (np.array([p[k] for p in points]) for k in ("value", "low", "high"))
        axes.fill_between(sizes, low, high, color=COLOURS[number], alpha=0.12, linewidth=0)
        _line(axes, np.array(sizes), value, number, title)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.set_xlabel("samples per problem")
    axes.set_ylabel("share of held-out problems answered rightly")
    canvas.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)


def _line(axes: Axes, x: np.ndarray, y: np.ndarray, number: int, label: str) -> None:
    axes.plot(
        x,
        y,
        color=COLOURS[number],
        marker=MARKERS[number],
        linestyle=DASHES[number],
        markersize=3.6,
        linewidth=1.5,
        label=label,
    )
