"""A reward model's accuracy against the share of labels that people give, by how pairs are chosen.

python -m benchmarks.selection [--seeds 0,1,2] [--runs FOLDER]
python -m benchmarks.selection --page      # figure and page again from the results
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.iterate import RECIPE as WORLD
from benchmarks.iterate import kept, over_seeds, plain
from benchmarks.machine import describe
from benchmarks.selection_page import write_page
from fairlead.core.seeds import Seed
from fairlead.data.chat import encode
from fairlead.feedback.selection import STRATEGIES, Signals, hajek, horvitz_thompson, select
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy, load_reward_model
from fairlead.pipeline.recipe import load_recipe
from fairlead.pipeline.reward_accuracy import log_odds
from fairlead.pipeline.runner import run_recipe
from fairlead.pipeline.sampling import sample_texts
from fairlead.pipeline.stage import Context
from fairlead.pipeline.stages import RewardStage
from fairlead.records import Comparison, Prompt
from fairlead.records.files import write_records
from fairlead.stats.means import paired_difference
from fairlead.stats.proportions import proportion
from fairlead.testbeds.annotators import Annotator
from fairlead.testbeds.assistant import AssistantWorld
from fairlead.training.config import TrainConfig

RESULTS = Path(__file__).parent / "results" / "selection.json"
PAIRS, HELD_OUT = 500, 500
SHARES = (0.1, 0.3)
"""Shares of the pairs that people label, between none and all."""
FLIPPED = 0.25
"""Error rate of the AI labels whose mistakes are random."""
PERSON = Annotator(name="person", temperature=0.25)
LIKES_LENGTH = Annotator(name="ai", fault="length", strength=0.5, temperature=0.5)
TRAIN = TrainConfig(batch_size=32, epochs=2, learning_rate=1e-3, log_every=10)
SAMPLING = Sampling(max_new_tokens=24)
MEMBERS = 3
"""Reward models on folds of the AI labels: their mean gives margins, their spread disagreement."""
LENGTH = 96


@dataclass(frozen=True)
class Pair:
    """Two replies of different worth, in random order."""

    prompt: Prompt
    first: str
    second: str
    better: bool
    """Whether the first is worth more."""

    def labelled(self, first: bool) -> Comparison:
        """The comparison in which the first reply wins, or loses."""
        chosen, rejected = (self.first, self.second) if first else (self.second, self.first)
        return Comparison(prompt=self.prompt, chosen=chosen, rejected=rejected)


class Lab:
    """One seed: pairs to label, pairs to test on, what people say, and the models' folders."""

    def __init__(self, folder: Path, start: Path, seed: int) -> None:
        self.folder, self.start = folder, start
        self.seed = Seed(seed).child("selection")
        self.world = AssistantWorld()
        self.pairs = self._pairs(PAIRS, "train")
        self.held_out = self._pairs(HELD_OUT, "held_out")
        self.truth = np.array([pair.better for pair in self.pairs])
        self.people = self._said(PERSON, "people")

    def _pairs(self, most: int, split: Any) -> list[Pair]:
        seed = self.seed.child(split)
        asked = self.world.prompts(most, seed=seed.child("prompts"), split=split)
        policy = load_policy(self.start).eval()
        texts = sample_texts(policy, asked, SAMPLING, n=4, seed=seed.child("sample"))
        own = enumerate(zip(asked, texts, strict=True))
        found = (self._pair(prompt, replies, seed.child(i)) for i, (prompt, replies) in own)
        return [pair for pair in found if pair is not None]

    def _pair(self, prompt: Prompt, texts: Sequence[str], seed: Seed) -> Pair | None:
        """The first reply and the next of other worth; None where all are worth the same."""
        worth = [self.world.gold(prompt, text) for text in texts]
        other = next((i for i, value in enumerate(worth) if value != worth[0]), None)
        if other is None:
            return None
        first, second = (0, other) if seed.numpy().random() < 0.5 else (other, 0)
        return Pair(prompt, texts[first], texts[second], worth[first] > worth[second])

    def _said(self, judge: Annotator, name: str) -> np.ndarray:
        """[pair] whether the judge prefers the first reply; the order of showing is random."""
        said: list[bool] = []
        for i, pair in enumerate(self.pairs):
            rng = self.seed.child(name, i).numpy()
            turned = rng.random() < 0.5
            a, b = (pair.second, pair.first) if turned else (pair.first, pair.second)
            shown_first = rng.random() < judge.probability(self.world, pair.prompt, a, b)
            said.append(bool(shown_first) != turned)
        return np.array(said)

    def flipped(self) -> np.ndarray:
        """AI labels whose mistakes are random."""
        wrong = self.seed.child("flips").numpy().random(len(self.pairs)) < FLIPPED
        return self.truth ^ wrong

    def likes_length(self) -> np.ndarray:
        """AI labels whose mistakes have a reason: longer replies."""
        return self._said(LIKES_LENGTH, "likes-length")

    def fit(self, labels: np.ndarray, name: str, members: int = 1) -> list[Path]:
        """Reward models on these labels of the pairs."""
        place = self.folder / "stages" / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        data = self.folder / "stages" / "data" / f"{name}.jsonl"
        own = zip(self.pairs, labels.tolist(), strict=True)
        write_records(data, [pair.labelled(label) for pair, label in own])
        stage = RewardStage(
            name="reward",
            model=str(self.start),
            data=f"@data/{name}.jsonl",
            train=TRAIN,
            max_length=LENGTH,
            members=members,
            diversity="folds" if members > 1 else "seeds",
        )
        # One seed for all fits: they differ by their labels alone.
        stage.run(Context(self.folder, place, self.seed.child("fit"), resume=False))
        return [place / "model", *(place / f"member-{m}" / "model" for m in range(1, members))]

    def margins(self, model: Path, pairs: Sequence[Pair]) -> np.ndarray:
        """[pair] score of the first reply less that of the second."""
        loaded = load_reward_model(model).eval()
        records = [pair.labelled(first=True) for pair in pairs]
        items, _ = encode(records, loaded.chat_format(), max_length=LENGTH)
        assert len(items) == len(pairs)
        return np.array([float(own[0, 0, 1]) for own in log_odds(loaded)(items)])

    def accuracy(self, labels: np.ndarray, name: str) -> dict[str, float]:
        """Share of held-out pairs that a reward model on these labels orders rightly."""
        (model,) = self.fit(labels, name)
        margins = self.margins(model, self.held_out)
        better = np.array([pair.better for pair in self.held_out])
        right = int(((margins > 0) == better).sum())
        shutil.rmtree(self.folder / "stages" / name)
        return plain(proportion(right, len(better)))


JUDGES: dict[str, Callable[[Lab], np.ndarray]] = {
    "flips": Lab.flipped,
    "length": Lab.likes_length,
}


def measure(seed: int, folder: Path, start: Path) -> dict[str, Any]:
    """All judges, strategies and shares of one seed."""
    wall, cpu = time.monotonic(), time.process_time()
    lab = Lab(folder, start, seed)
    everyone = lab.accuracy(lab.people, "people")
    judges = {name: _judge(lab, labels(lab), name) for name, labels in JUDGES.items()}
    return {
        "seed": seed,
        "pairs": len(lab.pairs),
        "held_out": len(lab.held_out),
        "people_error": float((lab.people != lab.truth).mean()),
        "all_people": everyone,
        "judges": judges,
        "seconds": time.monotonic() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }


def _judge(lab: Lab, ai: np.ndarray, name: str) -> dict[str, Any]:
    members = lab.fit(ai, f"{name}-members", MEMBERS)
    margins = np.stack([lab.margins(model, lab.pairs) for model in members], axis=1)
    side = np.where(ai, 1, -1)
    signals = Signals(margins=margins.mean(axis=1) * side, verdicts=1 / (1 + np.exp(-margins)))
    nobody = lab.accuracy(ai, f"{name}-nobody")
    found: list[dict[str, Any]] = []
    for share in SHARES:
        for strategy in STRATEGIES:
            found.append(_selected(lab, ai, signals, strategy, share, name))
            print(f"  {name}, {share:.0%}, {strategy}: {found[-1]['accuracy']['value']:.3f}")
    return {"ai_error": float((ai != lab.truth).mean()), "nobody": nobody, "points": found}


def _selected(
    lab: Lab, ai: np.ndarray, signals: Signals, strategy: Any, share: float, name: str
) -> dict[str, Any]:
    """People label what the strategy chose; the AI keeps the rest."""
    budget = round(share * len(lab.pairs))
    # The same seed for all strategies: they share their random stratum where sizes agree.
    made = select(
        len(lab.pairs), budget, strategy, seed=lab.seed.child("select", name), signals=signals
    )
    labels = ai.copy()
    labels[made.chosen] = lab.people[made.chosen]
    wrong = ai != lab.truth
    differs = (ai != lab.people)[made.chosen].astype(float)
    chances = made.propensity[made.chosen]
    return {
        "strategy": strategy,
        "share": share,
        "accuracy": lab.accuracy(labels, f"{name}-{strategy}-{share}"),
        "mistakes_found": float(wrong[made.chosen].sum() / wrong.sum()),
        "label_error": float((labels != lab.truth).mean()),
        "disagreement": {
            "pool": float((ai != lab.people).mean()),
            "plain": float(differs.mean()),
            "weighted": plain(horvitz_thompson(differs, chances, len(lab.pairs))),
            "weighted_mean": plain(hajek(differs, chances)),
        },
    }


def joined(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The seeds together: accuracies, and targeted less random, paired by seed."""
    judges: dict[str, Any] = {}
    for name in JUDGES:
        points = []
        for place, first in enumerate(runs[0]["judges"][name]["points"]):
            own = [run["judges"][name]["points"][place] for run in runs]
            random = [_random(run, name, first["share"]) for run in runs]
            values = [point["accuracy"]["value"] for point in own]
            points.append(
                {
                    "strategy": first["strategy"],
                    "share": first["share"],
                    "accuracy": over_seeds(values),
                    "less_random": _difference(values, random),
                    "mistakes_found": float(np.mean([p["mistakes_found"] for p in own])),
                }
            )
        judges[name] = {
            "nobody": over_seeds([run["judges"][name]["nobody"]["value"] for run in runs]),
            "points": points,
        }
    everyone = over_seeds([run["all_people"]["value"] for run in runs])
    return {"all_people": everyone, "judges": judges}


def _random(run: dict[str, Any], judge: str, share: float) -> float:
    points = run["judges"][judge]["points"]
    return next(
        p["accuracy"]["value"] for p in points if p["strategy"] == "random" and p["share"] == share
    )


def _difference(values: Sequence[float], random: Sequence[float]) -> dict[str, float]:
    if len(values) < 2:
        value = values[0] - random[0]
        return {"value": value, "low": float("-inf"), "high": float("inf")}
    return plain(paired_difference(values, random))


def sft(folder: Path) -> Path:
    """The world's SFT policy, from the recipe of the rounds."""
    recipe = load_recipe(WORLD)
    kept = tuple(stage for stage in recipe.stages if stage.name in ("world", "pretrain", "sft"))
    recipe = recipe.model_copy(update={"name": "selection", "stages": kept})
    run_recipe(recipe, folder, resume=(folder / "run.json").exists(), say=print)
    return folder / "stages" / "sft" / "model"


def main() -> None:
    """Measures every seed and writes results, figure and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--runs", type=Path, help="keep the SFT policy here, or find it here")
    parser.add_argument("--start", type=Path, help="an SFT policy to start from")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="only figure and page, from results")
    given = parser.parse_args()
    if not given.page:
        with tempfile.TemporaryDirectory() as temporary:
            folder = given.runs or Path(temporary)
            start = given.start or sft(folder / "sft")
            runs: list[dict[str, Any]] = []
            for seed in map(int, given.seeds.split(",")):
                own = folder / f"seed-{seed}"
                runs.append(kept(own, partial(measure, seed, own, start)))
                print(f"seed {seed}: {runs[-1]['seconds']:.0f} s", flush=True)
                result = {"machine": describe(), "runs": runs, "seeds": joined(runs)}
                given.out.write_text(json.dumps(result, indent=1) + "\n")
    if given.out == RESULTS:
        write_page(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
