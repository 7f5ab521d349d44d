"""Reasoning on sums: learning from a checker, credit by macro actions, choosing among samples.

python -m benchmarks.reasoning [--seeds 0,1] [--runs FOLDER]
python -m benchmarks.reasoning --page      # figures and page again from the results
"""

import argparse
import json
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import describe
from benchmarks.reasoning_page import CHOICES, LEARNERS, write_page
from fairlead.core.estimates import Estimate
from fairlead.lineage import read_result, read_run
from fairlead.pipeline.choosing import Chosen
from fairlead.pipeline.recipe import load_recipe
from fairlead.pipeline.runner import run_recipe
from fairlead.stats.means import mean_estimate, paired_difference

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "reasoning.yaml"
RESULTS = ROOT / "benchmarks" / "results" / "reasoning.json"
KEPT = ("gold_gain/", "kl/", "length/", "reward_model/", "baseline/")
"""Estimates of the stages that the page is made of."""


def measure(seed: int, folder: Path) -> dict[str, Any]:
    """Everything of one seed."""
    recipe = load_recipe(RECIPE, [f"seed={seed}"])
    run_recipe(recipe, folder, resume=(folder / "run.json").exists(), say=print)
    stages = read_run(folder).stages
    found = {stage.name: read_result(folder / stage.folder) for stage in stages}
    return {
        "seed": seed,
        "estimates": {
            f"{stage}/{e.name}": _plain(e)
            for stage, result in found.items()
            for e in result.estimates
            if e.name.startswith(KEPT)
        },
        "choices": choices(folder / "stages" / "choice" / "chosen.json"),
        "curves": {name: curve(folder / "stages" / name / "metrics.jsonl") for name in LEARNERS},
        "notes": {stage: result.notes for stage, result in found.items()},
        "stages": {stage.name: round(stage.seconds, 1) for stage in stages},
        "seconds": round(sum(stage.seconds for stage in stages), 1),
    }


def choices(path: Path) -> dict[str, Any]:
    """Share of right answers by number of samples, and differences between ways of choosing."""
    chosen = Chosen.model_validate(json.loads(path.read_text()))
    levels = {
        name: {str(n): _plain(mean_estimate(chosen.at(name, n))) for n in chosen.sizes}
        for name in chosen.shares
    }
    gains = {
        f"{a} over {b}": {
            str(n): _plain(paired_difference(chosen.at(a, n), chosen.at(b, n)))
            for n in chosen.sizes
            if n > 1
        }
        for b, a in combinations(CHOICES, 2)
    }
    return {"sizes": chosen.sizes, "levels": levels, "gains": gains}


def curve(path: Path) -> list[dict[str, float]]:
    """Mean reward of each rollout batch, and the work done when it had been learned from."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found: list[dict[str, float]] = []
    for line in lines:
        if line.get("reward/score") is not None:
            found.append({"score": line["reward/score"]})
        found[-1]["token_passes"] = line["train/token_passes"]
    return found


def _plain(estimate: Estimate) -> dict[str, float]:
    kept = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: round(value, 5) for name, value in kept.items()} | {"n": estimate.n}


def keep(run: dict[str, Any]) -> None:
    """Puts a seed's run among the results, in place of an earlier one of that seed."""
    known = json.loads(RESULTS.read_text())["runs"] if RESULTS.exists() else []
    runs = sorted([run, *(r for r in known if r["seed"] != run["seed"])], key=lambda r: r["seed"])
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": describe(), "runs": runs}, indent=1) + "\n")


def main() -> None:
    """Measures every seed and writes results, figures and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--runs", type=Path, help="keep the runs here, and go on with those there")
    parser.add_argument("--page", action="store_true", help="only figures and page, from results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.page:
        with tempfile.TemporaryDirectory() as temporary:
            runs = arguments.runs or Path(temporary)
            for seed in map(int, arguments.seeds.split(",")):
                keep(measure(seed, runs / f"seed-{seed}"))
    write_page(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
