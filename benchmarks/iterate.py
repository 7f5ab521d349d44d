"""Three rounds of labels, reward model and policy against one round with as many labels.

python -m benchmarks.iterate [--seeds 0,1,2] [--runs FOLDER]
python -m benchmarks.iterate --page      # figure and page again from the results
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.iterate_page import write_page
from benchmarks.machine import describe
from fairlead.core.estimates import Estimate
from fairlead.core.files import read_json, write_json
from fairlead.core.seeds import Seed
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy, load_reward_model
from fairlead.pipeline.iterating import iterate, load_rounds
from fairlead.pipeline.recipe import Recipe
from fairlead.pipeline.sampling import sample_replies
from fairlead.records import Comparison, Prompt
from fairlead.records.files import read_records
from fairlead.report import report_json
from fairlead.rewards.model import ModelReward
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.testbeds.assistant import AssistantWorld

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "iterate.yaml"
RESULTS = ROOT / "benchmarks" / "results" / "iterate.json"
ROUNDS = 3
PROMPTS = 500
"""Prompts labelled in each round; the one round of the offline run has all of them."""
SAMPLING = Sampling(max_new_tokens=24)
SAMPLES = 4
"""Replies to each held-out prompt."""


@dataclass(frozen=True)
class Point:
    """A policy on the held-out prompts, and the reward model it was trained against."""

    gold: np.ndarray
    """Worth, [prompt], means over replies."""
    proxy: np.ndarray | None = None
    """Score of its own reward model, [prompt]."""
    accuracy: Estimate | None = None
    """How often that model sides with the truth between two of its own replies to a prompt."""


class Bench:
    """The held-out prompts and the truth."""

    def __init__(self, run: Path, seed: int) -> None:
        records = read_records(run / "stages" / "world" / "test.jsonl")
        self.prompts = [record for record in records if isinstance(record, Prompt)]
        self.seed = Seed(seed).child("iterate")
        self.world = AssistantWorld()

    def point(self, policy: Path, reward: Path | None = None) -> Point:
        """Samples a policy and has its replies judged."""
        loaded = load_policy(policy).eval()
        seed = self.seed.child("sample")
        replies = sample_replies(loaded, self.prompts, SAMPLING, n=SAMPLES, seed=seed)
        flat = [reply for own in replies for reply in own]
        gold = np.array([self.world.gold(r.prompt, r.text) for r in flat]).reshape(-1, SAMPLES)
        if reward is None:
            return Point(gold.mean(axis=1))
        source = ModelReward(load_reward_model(reward).eval(), loaded.tokenizer)
        proxy = source.score(flat).values.double().numpy().reshape(-1, SAMPLES)
        return Point(gold.mean(axis=1), proxy.mean(axis=1), sides_with_truth(gold, proxy))


def sides_with_truth(gold: np.ndarray, proxy: np.ndarray) -> Estimate | None:
    """Share of pairs of replies to a prompt that the proxy orders as the truth does.

    Pairs of equal worth are left out; pairs of equal score count as half.

    Args:
        gold: [prompt, reply] true worth.
        proxy: [prompt, reply] scores.
    """
    right: list[float] = []
    prompts: list[int] = []
    for place, (worth, score) in enumerate(zip(gold, proxy, strict=True)):
        first, second = np.triu_indices(len(worth), 1)
        truth, said = np.sign(worth[first] - worth[second]), np.sign(score[first] - score[second])
        differ = truth != 0
        right += ((1 + truth * said)[differ] / 2).tolist()
        prompts += [place] * int(differ.sum())
    return mean_estimate(right, clusters=prompts) if len(set(prompts)) > 1 else None


def arm(seed: int, start: Path | None, *, rounds: int, prompts: int, name: str) -> Recipe:
    """The recipe of one run; without the stages of an SFT that is there, and without evaluation."""
    given = [f"seed={seed}", f"prompts={prompts}", *([f"start={start}"] if start else [])]
    recipe = load_rounds(RECIPE, given, rounds)
    kept = tuple(
        stage
        for stage in recipe.stages
        if not stage.name.endswith("-evaluate")
        and (start is None or stage.name not in ("pretrain", "sft"))
    )
    return recipe.model_copy(update={"name": f"iterate-{name}", "stages": kept})


def measure(seed: int, folder: Path, start: Path | None) -> dict[str, Any]:
    """Both runs of one seed, from this SFT or from one of its own, and what came of them."""
    wall, cpu = time.monotonic(), time.process_time()
    online, offline = folder / "online", folder / "offline"
    iterate(
        arm(seed, start, rounds=ROUNDS, prompts=PROMPTS, name="online"),
        online,
        resume=(online / "run.json").exists(),
        say=lambda line: print(f"seed {seed}, online: {line}", flush=True),
    )
    sft = start or online / "stages" / "sft" / "model"
    iterate(
        arm(seed, sft, rounds=1, prompts=ROUNDS * PROMPTS, name="offline"),
        offline,
        resume=(offline / "run.json").exists(),
        say=lambda line: print(f"seed {seed}, offline: {line}", flush=True),
    )
    bench = Bench(online, seed)
    base = bench.point(sft)
    points = [of_round(bench, online, number) for number in range(1, ROUNDS + 1)]
    single = of_round(bench, offline, 1)
    return {
        "seed": seed,
        "prompts": len(bench.prompts),
        "labels": {"online": labels(online, ROUNDS), "offline": labels(offline, 1)},
        "online": [summary(point, base) for point in points],
        "offline": summary(single, base),
        "online_less_offline": plain(paired_difference(points[-1].gold, single.gold)),
        "reward_accuracy": {
            "online": accuracies(online),
            "offline": accuracies(offline),
        },
        "seconds": time.monotonic() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }


def of_round(bench: Bench, run: Path, number: int) -> Point:
    """The policy of a round."""
    stages = run / "stages"
    policy, reward = (stages / f"round-{number}-{name}" / "model" for name in ("policy", "reward"))
    return bench.point(policy, reward)


def labels(run: Path, rounds: int) -> int:
    """Comparisons that the last reward model saw."""
    records = read_records(run / "stages" / f"round-{rounds}-label" / "train.jsonl")
    return sum(isinstance(record, Comparison) for record in records)


def accuracies(run: Path) -> list[dict[str, float]]:
    """Of each round's reward model on held-out labels of that round's replies."""
    found = [e for e in report_json(run)["estimates"] if e["name"] == "reward_model/accuracy"]
    return [{name: e[name] for name in ("value", "low", "high")} for e in found]


def summary(point: Point, base: Point) -> dict[str, Any]:
    """A policy in numbers."""
    return {
        "gold_gain": plain(paired_difference(point.gold, base.gold)),
        "own_accuracy": None if point.accuracy is None else plain(point.accuracy),
    }


def kept(folder: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured of a seed before, in a folder that was kept, or else now."""
    file = folder / "measured.json"
    if not file.exists():
        write_json(file, make())
    return read_json(file)


def over_seeds(values: Sequence[float]) -> dict[str, float]:
    """Mean over seeds with Student's interval; a single seed has none."""
    if len(values) < 2:
        return {"value": float(values[0]), "low": float("-inf"), "high": float("inf")}
    return plain(mean_estimate(values))


def plain(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def joined(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The seeds together: each is one unit."""
    return {
        "online": [
            over_seeds([run["online"][number]["gold_gain"]["value"] for run in runs])
            for number in range(ROUNDS)
        ],
        "offline": over_seeds([run["offline"]["gold_gain"]["value"] for run in runs]),
        "online_less_offline": over_seeds([run["online_less_offline"]["value"] for run in runs]),
    }


def main() -> None:
    """Measures every seed and writes results, figure and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--runs", type=Path, help="keep the runs here, and go on with those there")
    parser.add_argument("--start", type=Path, help="an SFT policy to start all seeds from")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="only figure and page, from results")
    given = parser.parse_args()
    if not given.page:
        with tempfile.TemporaryDirectory() as temporary:
            folder = given.runs or Path(temporary)
            runs: list[dict[str, Any]] = []
            start: Path | None = given.start
            for seed in map(int, given.seeds.split(",")):
                own = folder / f"seed-{seed}"
                runs.append(kept(own, partial(measure, seed, own, start)))
                start = start or folder / f"seed-{seed}" / "online" / "stages" / "sft" / "model"
                setting = {"rounds": ROUNDS, "prompts": PROMPTS, "samples": SAMPLES}
                result = {"machine": describe(), **setting, "runs": runs, "seeds": joined(runs)}
                given.out.write_text(json.dumps(result, indent=1) + "\n")
    if given.out == RESULTS:
        write_page(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
