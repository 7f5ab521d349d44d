"""A run that over-optimises a weak reward model, with and without a watch that stops it.

python -m benchmarks.watch [--seeds 0,1,2,3,4] [--runs FOLDER]
python -m benchmarks.watch --page      # figure and page again from the results
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from benchmarks.watch_page import write_page
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.generation.sampling import Sampling
from fairlead.lineage import read_result
from fairlead.models.loading import load_policy
from fairlead.models.policy import Policy
from fairlead.pipeline.recipe import Recipe, load_recipe
from fairlead.pipeline.runner import run_recipe
from fairlead.pipeline.sampling import sample_replies
from fairlead.pipeline.stages import EvaluateStage
from fairlead.records import Prompt
from fairlead.records.files import read_records
from fairlead.stats.means import paired_difference
from fairlead.testbeds.assistant import AssistantWorld

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "watch.yaml"
RESULTS = ROOT / "benchmarks" / "results" / "watch.json"
ARMS = ("watched", "by-model")
"""Watched by the world's truth, and by a second reward model."""
SECOND = frozenset({"careful", "held-out", "by-model"})
"""Stages that only the second arm needs."""
SAMPLING = Sampling(max_new_tokens=24)
SAMPLES = 4
"""Replies to each prompt that neither training nor a watch has seen."""


def measure(seed: int, folder: Path, start: Path | None, arms: Sequence[str]) -> dict[str, Any]:
    """Trains with and without watches for one seed, and measures what was kept by the truth."""
    run_recipe(seeded(seed, start, arms), folder, resume=True, say=print)
    stages = folder / "stages"
    prompts = unseen(stages)
    policies = {"start": start or stages / "sft" / "model"}
    policies |= {name: stages / name / "model" for name in ("unwatched", *arms)}
    gold = {
        n: worth(load_policy(f), prompts, Seed(seed).child("gold")) for n, f in policies.items()
    }
    return {
        "seed": seed,
        "prompts": len(prompts),
        "gain": {n: _plain(paired_difference(gold[n], gold["start"])) for n in list(gold)[1:]},
        "over_unwatched": {n: _plain(paired_difference(gold[n], gold["unwatched"])) for n in arms},
        "watch": {name: seen(stages / name) for name in arms},
    }


def seeded(seed: int, start: Path | None, arms: Sequence[str]) -> Recipe:
    """The recipe of some arms without its evaluation, and without an SFT that is there."""
    recipe = load_recipe(RECIPE, [f"seed={seed}", *([f"start={start}"] if start else [])])
    kept = tuple(
        stage
        for stage in recipe.stages
        if not isinstance(stage, EvaluateStage)
        and ("by-model" in arms or stage.name not in SECOND)
        and (start is None or stage.name not in ("pretrain", "sft"))
    )
    return recipe.model_copy(update={"stages": kept})


def unseen(stages: Path) -> list[Prompt]:
    """Test prompts that were not watched either."""
    records = read_records(stages / "world" / "test.jsonl")
    watched = {r.messages for r in _prompts(read_records(stages / "others" / "test.jsonl"))}
    return [prompt for prompt in _prompts(records) if prompt.messages not in watched]


def _prompts(records: Any) -> list[Prompt]:
    return [record for record in records if isinstance(record, Prompt)]


def worth(policy: Policy, prompts: list[Prompt], seed: Seed) -> np.ndarray:
    """True worth of a policy's replies, [prompt]."""
    world = AssistantWorld()
    replies = sample_replies(policy.eval(), prompts, SAMPLING, n=SAMPLES, seed=seed)
    return np.array([np.mean([world.gold(r.prompt, r.text) for r in own]) for own in replies])


def seen(stage: Path) -> dict[str, Any]:
    """What a watch saw: the curve, when the alarm came, and which policy was kept."""
    result = read_result(stage)
    (figure,) = result.figures
    series = {s.label: s.model_dump(mode="json") for s in figure.series}
    marks = {name: int(series[name]["x"][0]) for name in ("onset", "look kept") if name in series}
    return {
        "curves": {s["label"]: s for s in series.values() if s["style"] == "line"},
        "onset": marks.get("onset"),
        "kept": marks.get("look kept"),
        "notes": list(result.notes),
    }


def _plain(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def measure_all(runs: Path, seeds: Sequence[str]) -> None:
    """All seeds of the first arm, and then again with the second: what is there is not run anew."""
    result: dict[str, Any] = {"machine": describe(), "samples": SAMPLES, "runs": []}
    start: Path | None = None
    found: dict[str, Any] = {}
    for arms in (ARMS[:1], ARMS):
        for seed in seeds:
            folder = runs / f"seed-{seed}"
            own = None if seed == seeds[0] else start
            found[seed] = measure(int(seed), folder, own, arms)
            start = start or folder / "stages" / "sft" / "model"
            result["runs"] = list(found.values())
            RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    """Measures every seed and writes results, figure and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--runs", type=Path, help="keep the runs here, and go on with those there")
    parser.add_argument("--page", action="store_true", help="only figure and page, from results")
    arguments = parser.parse_args()
    if not arguments.page:
        with tempfile.TemporaryDirectory() as temporary:
            measure_all(arguments.runs or Path(temporary), arguments.seeds.split(","))
    write_page(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
