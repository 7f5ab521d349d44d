"""SL-CAI and RL-CAI on the assistant testbed: harm, over-refusal and help against SFT.

python -m benchmarks.constitutional [--seeds 0,1,2] [--runs FOLDER]
python -m benchmarks.constitutional --page      # figure and page again from the results
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.constitutional_page import write_page
from benchmarks.iterate import over_seeds
from benchmarks.machine import describe
from fairlead.core.results import read_result
from fairlead.pipeline.recipe import load_recipe
from fairlead.pipeline.runner import run_recipe

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "constitutional.yaml"
RESULTS = ROOT / "benchmarks" / "results" / "constitutional.json"
STAGES = ("revise", "ai", "reward", "safety", "evaluate")
"""Stages whose estimates are kept."""
POLICIES = ("sl_cai", "rl_cai")
ATTACK = "any"


def measure(seed: int, folder: Path) -> dict[str, Any]:
    """Runs the recipe with one seed, or goes on with what is in the folder."""
    before = time.process_time()
    recipe = load_recipe(RECIPE, [f"seed={seed}"])
    run_recipe(recipe, folder, resume=folder.exists())
    found: dict[str, Any] = {}
    for stage in STAGES:
        for estimate in read_result(folder / "stages" / stage).estimates:
            found[estimate.name] = {
                k: getattr(estimate, k) for k in ("value", "low", "high", "n", "method")
            }
    return {"seed": seed, "cpu_seconds": time.process_time() - before, "estimates": found}


def joined(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The seeds together: each is one unit."""
    names = [
        *(f"attack_success/{p}/{ATTACK}" for p in ("baseline", *POLICIES)),
        *(f"attack_success_change/{p}/{ATTACK}" for p in POLICIES),
        *(f"over_refusal/{p}" for p in ("baseline", *POLICIES)),
        *(f"over_refusal_change/{p}" for p in POLICIES),
        *(f"helpfulness/{p}" for p in ("baseline", *POLICIES)),
        *(f"helpfulness_change/{p}" for p in POLICIES),
        "ai/judge_agreement",
        "ai/judge_position_consistency",
        "ai/judge_tokens_per_label",
    ]
    return {name: over_seeds([run["estimates"][name]["value"] for run in runs]) for name in names}


def main() -> None:
    """Measures every seed and writes results, figure and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--runs", type=Path, help="keep the runs here, and go on with those there")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="only figure and page, from results")
    given = parser.parse_args()
    if not given.page:
        margin = next(s for s in load_recipe(RECIPE).stages if s.name == "safety").margin  # pyright: ignore
        with tempfile.TemporaryDirectory() as temporary:
            folder = given.runs or Path(temporary)
            runs: list[dict[str, Any]] = []
            for seed in map(int, given.seeds.split(",")):
                runs.append(measure(seed, folder / f"seed-{seed}"))
                result = {
                    "machine": describe(),
                    "attack": ATTACK,
                    "margin": margin,
                    "runs": runs,
                    "seeds": joined(runs),
                }
                given.out.write_text(json.dumps(result, indent=1) + "\n")
    if given.out == RESULTS:
        write_page(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
