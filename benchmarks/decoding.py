"""Ways to decode side by side: what each makes of one policy and one reward, and what it costs.

python -m benchmarks.decoding [--seed 0] [--runs FOLDER]
python -m benchmarks.decoding --page      # figure and page again from the results
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.decoding_page import STAGES, write_page
from benchmarks.machine import describe
from fairlead.lineage import read_result, read_run
from fairlead.pipeline.recipe import load_recipe
from fairlead.pipeline.runner import run_recipe

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "decoding.yaml"
RESULTS = ROOT / "benchmarks" / "results" / "decoding.json"
BESIDE = ("reward_model/", "value_explains/")
"""Estimates of other stages that the page mentions."""


def measure(seed: int, folder: Path) -> dict[str, Any]:
    """Runs the recipe and keeps what the page is made of."""
    recipe = load_recipe(RECIPE, [f"seed={seed}"])
    run_recipe(recipe, folder, resume=(folder / "run.json").exists(), say=print)
    stages = read_run(folder).stages
    found = {
        stage.name: read_result(folder / stage.folder).model_dump(mode="json") for stage in stages
    }
    return {
        "seed": seed,
        "decoded": {name: _kept(found[name]) for name in STAGES},
        "beside": {
            f"{stage}/{e['name']}": _interval(e)
            for stage, result in found.items()
            for e in result["estimates"]
            if e["name"].startswith(BESIDE)
        },
    }


def _kept(result: dict[str, Any]) -> dict[str, Any]:
    estimates = {e["name"]: _interval(e) for e in result["estimates"]}
    shown = {key: result[key] for key in ("tables", "figures", "notes")}
    return {"estimates": estimates, **shown}


def _interval(estimate: dict[str, Any]) -> dict[str, float]:
    return {key: estimate[key] for key in ("value", "low", "high")}


def main() -> None:
    """Measures and writes results, figure and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, help="keep the run here, and go on with what is there")
    parser.add_argument("--page", action="store_true", help="only figure and page, from results")
    arguments = parser.parse_args()
    if not arguments.page:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (arguments.runs or Path(temporary)) / f"seed-{arguments.seed}"
            result = {"machine": describe(), **measure(arguments.seed, folder)}
            RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    write_page(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
