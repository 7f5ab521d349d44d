"""A weak reward model, over-optimised, and what an ensemble and PAR make of it.

python -m benchmarks.over_optimisation [--seeds 0,1,2] [--runs FOLDER]
python -m benchmarks.over_optimisation --page      # figure and page again from the results
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from benchmarks.over_optimisation_page import write_page
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.generation.divergence import log_ratios
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy, load_reward_model
from fairlead.models.policy import Policy
from fairlead.pipeline.recipe import Recipe, load_recipe
from fairlead.pipeline.runner import run_recipe
from fairlead.pipeline.sampling import sample_replies
from fairlead.pipeline.stages import EvaluateStage
from fairlead.records import Prompt
from fairlead.records.files import read_records
from fairlead.report import report_json
from fairlead.rewards.base import Reply
from fairlead.rewards.model import ModelReward
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.testbeds.assistant import AssistantWorld

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "over-optimisation.yaml"
RESULTS = ROOT / "benchmarks" / "results" / "over-optimisation.json"
METHODS = ("single", "worst", "par")
SAMPLING = Sampling(max_new_tokens=24)
SAMPLES = 2
"""Replies to each held-out prompt."""


@dataclass(frozen=True)
class Point:
    """A policy on its way, on the held-out prompts: per prompt, means over its replies."""

    step: int
    gold: np.ndarray
    """Worth, [prompt]."""
    proxy: np.ndarray
    """Score of the single reward model in deviations of its scores of SFT's replies, [prompt]."""
    kl: np.ndarray
    """Log-ratio to SFT in nats per reply, [prompt]."""
    length: np.ndarray
    """Tokens, [prompt]."""

    @property
    def distance(self) -> float:
        """Square root of the mean KL."""
        return max(float(self.kl.mean()), 0.0) ** 0.5


class Bench:
    """The held-out prompts of one run, and who judges the replies to them."""

    def __init__(self, run: Path, sft: Path, seed: int) -> None:
        self.stages = run / "stages"
        self.seed = Seed(seed).child("over-optimisation")
        self.base = load_policy(sft).eval()
        records = read_records(self.stages / "world" / "test.jsonl")
        self.prompts = [record for record in records if isinstance(record, Prompt)]
        model = load_reward_model(self.stages / "reward" / "model").eval()
        self.proxy = ModelReward(model, self.base.tokenizer)
        self.world = AssistantWorld()
        raw = self._scores([r for own in self._replies(self.base) for r in own])
        self.deviation = float(raw.std())

    def path(self, method: str) -> list[Point]:
        """SFT, the method's checkpoints and the policy at its end."""
        folder = self.stages / method
        checkpoints = sorted(folder.glob("checkpoints/step-*/model"))
        points = [self.point(self.base, 0)]
        points += [self.point(load_policy(f), int(f.parent.name[5:])) for f in checkpoints]
        last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["step"]
        if points[-1].step < last:
            points.append(self.point(load_policy(folder / "model"), last))
        return points

    def point(self, policy: Policy, step: int) -> Point:
        """Samples a policy and has its replies judged."""
        replies = self._replies(policy.eval())
        flat = [reply for own in replies for reply in own]
        judged = {
            "gold": np.array([self.world.gold(r.prompt, r.text) for r in flat]),
            "proxy": self._scores(flat) / self.deviation,
            "length": np.array([len(r.response_ids) for r in flat], dtype=float),
        }
        means = {name: v.reshape(-1, SAMPLES).mean(axis=1) for name, v in judged.items()}
        return Point(step=step, kl=self._log_ratios(policy, replies), **means)

    def _replies(self, policy: Policy) -> list[list[Reply]]:
        seed = self.seed.child("sample")
        return sample_replies(policy, self.prompts, SAMPLING, n=SAMPLES, seed=seed)

    def _scores(self, replies: Sequence[Reply]) -> np.ndarray:
        return self.proxy.score(replies).values.double().numpy()

    def _log_ratios(self, policy: Policy, replies: Sequence[Sequence[Reply]]) -> np.ndarray:
        """Mean log-ratio to SFT of each prompt's replies."""
        moved, _ = log_ratios(
            policy,
            self.base,
            [own[0].prompt_ids for own in replies],
            [[reply.response_ids for reply in own] for own in replies],
        )
        return moved.double().mean(1).numpy()


def peak_and_fall(points: Sequence[Point]) -> dict[str, Estimate]:
    """Gold gain at the best checkpoint, and how far the end lies below it.

    The best of many noisy checkpoints looks better than it is. The peak is therefore chosen on one
    half of the prompts and measured on the other, for both halves; SFT is among the choices.
    """
    gold = np.array([p.gold for p in points])
    half = np.arange(gold.shape[1]) % 2
    best = {side: int(gold[:, half != side].mean(axis=1).argmax()) for side in (0, 1)}
    peak = np.where(half == 0, gold[best[0]], gold[best[1]])
    return {
        "peak_gain": paired_difference(peak, gold[0]),
        "fall": paired_difference(peak, gold[-1]),
    }


def gold_at(points: Sequence[Point], distance: float) -> np.ndarray:
    """Worth per prompt at a distance from SFT, on the line between the two points around it."""
    for before, after in pairwise(points):
        if after.distance >= distance:
            share = (distance - before.distance) / max(after.distance - before.distance, 1e-9)
            return (1 - share) * before.gold + share * after.gold
    return points[-1].gold


def against(points: Sequence[Point], single: Sequence[Point]) -> dict[str, Any]:
    """Gold compared with the single model's policy, after equal steps and at equal KL."""
    common = min(max(p.distance for p in path) for path in (points, single))
    there = [gold_at(path, common) for path in (points, single)]
    return {
        "final_gold": _plain(paired_difference(points[-1].gold, single[-1].gold)),
        "common_distance": common,
        "gold_at_common_distance": _plain(paired_difference(*there)),
    }


def summary(points: Sequence[Point]) -> dict[str, Any]:
    """A method in numbers: its curve, and what it came to."""
    start, end = points[0], points[-1]
    curve = [
        {
            "step": p.step,
            "distance": p.distance,
            "kl": _plain(mean_estimate(p.kl)),
            "gold_gain": _plain(paired_difference(p.gold, start.gold)),
            "proxy_gain": _plain(paired_difference(p.proxy, start.proxy)),
            "length": float(p.length.mean()),
        }
        for p in points
    ]
    return {
        "curve": curve,
        **{name: _plain(value) for name, value in peak_and_fall(points).items()},
        "final_gain": _plain(paired_difference(end.gold, start.gold)),
        "final_proxy_gain": _plain(paired_difference(end.proxy, start.proxy)),
        "final_kl": _plain(mean_estimate(end.kl)),
    }


def measure(seed: int, folder: Path, start: Path | None) -> dict[str, Any]:
    """Trains and measures all methods for one seed, from this SFT or from one of its own."""
    wall, cpu = time.monotonic(), time.process_time()
    run_recipe(seeded(seed, start), folder, resume=True, say=print)
    bench = Bench(folder, start or folder / "stages" / "sft" / "model", seed)
    paths = {method: bench.path(method) for method in METHODS}
    methods = {method: summary(points) for method, points in paths.items()}
    for method in METHODS[1:]:
        methods[method]["against_single"] = against(paths[method], paths["single"])
    report = report_json(folder)
    kept = ("reward_model/accuracy", "reward_model/accuracy_ceiling")
    return {
        "seed": seed,
        "prompts": len(bench.prompts),
        "comparisons": len(read_records(folder / "stages" / "label" / "train.jsonl")),
        "estimates": {e["name"]: e for e in report["estimates"][::-1] if e["name"] in kept},
        "stages": {stage["name"]: stage["seconds"] for stage in report["stages"]},
        "methods": methods,
        "seconds": time.monotonic() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }


def seeded(seed: int, start: Path | None) -> Recipe:
    """The recipe without what is done here, prompt by prompt, and without an SFT that is there."""
    recipe = load_recipe(RECIPE, [f"seed={seed}", *([f"start={start}"] if start else [])])
    kept = tuple(
        stage
        for stage in recipe.stages
        if not isinstance(stage, EvaluateStage)
        and (start is None or stage.name not in ("pretrain", "sft"))
    )
    return recipe.model_copy(update={"stages": kept})


def _plain(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def main() -> None:
    """Measures every seed and writes results, figure and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--runs", type=Path, help="keep the runs here, and go on with those there")
    parser.add_argument("--page", action="store_true", help="only figure and page, from results")
    arguments = parser.parse_args()
    if not arguments.page:
        with tempfile.TemporaryDirectory() as temporary:
            runs = arguments.runs or Path(temporary)
            result = {"machine": describe(), "samples": SAMPLES, "runs": []}
            start: Path | None = None
            for seed in map(int, arguments.seeds.split(",")):
                folder = runs / f"seed-{seed}"
                result["runs"].append(measure(seed, folder, start))
                start = start or folder / "stages" / "sft" / "model"
                RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    write_page(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
