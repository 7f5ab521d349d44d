"""PPO-Lagrangian against plain PPO under a reward that flatters: is the limit on agreement kept?

python -m benchmarks.lagrangian [--seeds 0,1,2] [--out benchmarks/results/lagrangian.json]
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.pages import cell
from fairlead.core.results import Figure, Series
from fairlead.pipeline.recipe import load_recipe
from fairlead.pipeline.runner import run_recipe
from fairlead.report import report_json
from fairlead.report.comparison import standalone

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "lagrangian.yaml"
RESULTS = Path(__file__).parent / "results" / "lagrangian.json"
FIGURES = ROOT / "docs" / "figures"
NAMES = {"baseline": "SFT", "ppo": "PPO", "lagrangian": "PPO-Lagrangian"}
COSTS = {"ppo": "reward/agreement", "lagrangian": "reward/cost"}
SMOOTHED = 5
NOTE = (
    "Intervals are 95 %, over held-out prompts, of the last policy of each run. A limit is kept "
    "where the interval reaches down to it. The multiplier swings (see docs/figures): a policy "
    "that keeps the limit at the end may have passed it before, as the column of training shows."
)


def measure(seed: int, folder: Path) -> dict:
    """One run: estimates on held-out prompts, and cost and multiplier along training."""
    recipe = load_recipe(RECIPE, [f"seed={seed}"])
    run_recipe(recipe, folder, resume=True, say=lambda line: print(f"seed {seed}: {line}"))
    report = report_json(folder)
    return {
        "seed": seed,
        "estimates": {e["name"]: e for e in report["estimates"]},
        "cost": {name: curve(folder, name, metric) for name, metric in COSTS.items()},
        "multiplier": curve(folder, "lagrangian", "policy/multiplier"),
    }


def curve(folder: Path, stage: str, metric: str) -> list[float]:
    """A metric of each rollout batch."""
    lines = (folder / "stages" / stage / "metrics.jsonl").read_text().splitlines()
    values = [json.loads(line).get(metric) for line in lines]
    return [value for value in values if value is not None]


def verdict(estimate: dict, limit: float) -> str:
    """Whether the limit is kept: the interval reaches down to it."""
    return "kept" if estimate["low"] <= limit else "broken"


def table(result: dict) -> str:
    """The runs as a Markdown table."""
    limit = result["limit"]
    lines = [
        f"| seed | policy | agrees with wrong users | limit of {limit} "
        "| while training, last half | gold gain over SFT |",
        "|---|---|---|---|---|---|",
    ]
    for run in result["runs"]:
        for name, label in NAMES.items():
            found = run["estimates"]
            cost, gain = found[f"agreement_cost/{name}"], found.get(f"gold_gain/{name}")
            cells = [str(run["seed"]), label, cell(cost, digits=3), verdict(cost, limit)]
            cells.append(_last_half(run["cost"].get(name, [])))
            lines.append(f"| {' | '.join([*cells, cell(gain, digits=3) if gain else ''])} |")
    return "\n".join([*lines, "", NOTE])


def figures(result: dict) -> dict[str, Figure]:
    """Cost and multiplier over training, mean and range over seeds."""
    runs = result["runs"]
    costs = [
        _line(NAMES[name], [_smooth(run["cost"][name]) for run in runs], first=SMOOTHED)
        for name in COSTS
    ]
    steps = costs[0].x
    limit = Series(label="limit", x=(steps[0], steps[-1]), y=(result["limit"],) * 2)
    bands = "bands are from the lowest to the highest seed."
    return {
        "lagrangian-cost": Figure(
            title="Agreement while training",
            x_label="rollout batch",
            y_label="wrong users agreed with",
            series=(*costs, limit),
            caption=f"Means over seeds and {SMOOTHED} batches; {bands}",
        ),
        "lagrangian-multiplier": Figure(
            title="The multiplier while training",
            x_label="rollout batch",
            y_label="multiplier",
            series=(_line("multiplier", [run["multiplier"] for run in runs], first=1),),
            caption=f"Means over seeds; {bands}",
        ),
    }


def _line(label: str, curves: Sequence[Sequence[float]], *, first: int) -> Series:
    values = np.array(curves)
    return Series(
        label=label,
        x=tuple(float(first + i) for i in range(values.shape[1])),
        y=tuple(values.mean(0).tolist()),
        low=tuple(values.min(0).tolist()),
        high=tuple(values.max(0).tolist()),
    )


def _smooth(values: Sequence[float]) -> list[float]:
    return np.convolve(values, np.full(SMOOTHED, 1 / SMOOTHED), mode="valid").tolist()


def _last_half(values: Sequence[float]) -> str:
    return f"{np.mean(values[len(values) // 2 :]):.3f}" if values else ""


def main() -> None:
    """Measures every seed, then writes results, table and figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--figures", type=Path, default=FIGURES)
    parser.add_argument("--folder", type=Path, help="where runs are kept, and found again")
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    limit = load_recipe(RECIPE).stages[-2].rollouts.cost.limit
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        runs = [measure(seed, folder / f"seed-{seed}") for seed in seeds]
    result = {"machine": describe(), "limit": limit, "runs": runs}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    arguments.out.with_suffix(".md").write_text(table(result) + "\n")
    draw(result, arguments.figures)
    print(table(result))


def draw(result: dict, folder: Path) -> None:
    """Writes the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures(result).items():
        (folder / f"{name}.svg").write_text(standalone(figure))


if __name__ == "__main__":
    main()
