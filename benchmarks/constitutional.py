"""SL-CAI and RL-CAI on the assistant testbed: harm, over-refusal and help against SFT.

python -m benchmarks.constitutional [--critic scripted|self] [--seeds 0,1,2] [--runs FOLDER]
python -m benchmarks.constitutional [--critic ...] --page    # the page again from the results
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.constitutional_page import write_page
from benchmarks.critics import skills
from benchmarks.iterate import over_seeds
from benchmarks.machine import describe
from fairlead.constitution.reading import load_constitution
from fairlead.core.estimates import Estimate
from fairlead.core.results import read_result
from fairlead.core.seeds import Seed
from fairlead.judges.local import LocalRespondent
from fairlead.models.loading import load_policy
from fairlead.pipeline.recipe import load_recipe
from fairlead.pipeline.runner import run_recipe
from fairlead.testbeds.assistant import DEMONSTRATOR

ROOT = Path(__file__).parents[1]
STAGES = ("revise", "ai", "reward", "safety", "evaluate")
"""Stages whose estimates are kept."""
ATTACK = "any"
SPEAKER = DEMONSTRATOR.model_copy(update={"refuses_harmful": 0.3, "refuses_harmless": 0.2})
"""Who breaks every principle often enough for a critic to be measured."""


@dataclass(frozen=True)
class Arm:
    """A recipe and what is asked about it."""

    name: str
    policies: tuple[str, ...]
    """Compared with the baseline."""
    asked: tuple[str, str] | None = None
    """Stages whose models criticise and compare, where their skills are measured."""

    @property
    def recipe(self) -> Path:
        """What is run."""
        return ROOT / "recipes" / f"{self.name}.yaml"

    @property
    def results(self) -> Path:
        """Where the results lie."""
        return ROOT / "benchmarks" / "results" / f"{self.name}.json"


ARMS = {
    "scripted": Arm("constitutional", ("sl_cai", "rl_cai")),
    "self": Arm("self_critique", ("taught", "sl_cai", "rl_cai"), asked=("taught", "judge")),
}


def measure(arm: Arm, seed: int, folder: Path) -> dict[str, Any]:
    """Runs the recipe with one seed, or goes on with what is in the folder."""
    before = time.process_time()
    recipe = load_recipe(arm.recipe, [f"seed={seed}"])
    run_recipe(recipe, folder, resume=folder.exists())
    found: dict[str, Any] = {}
    for stage in STAGES:
        for estimate in read_result(folder / "stages" / stage).estimates:
            found[estimate.name] = _bare(estimate)
    if arm.asked:
        critic, judge = (folder / "stages" / name / "model" for name in arm.asked)
        measured = model_skills(critic, judge, seed)
        found |= {f"skill/{name}": _bare(estimate) for name, estimate in measured.items()}
    return {"seed": seed, "cpu_seconds": time.process_time() - before, "estimates": found}


def model_skills(critic: Path, judge: Path, seed: int, *, n: int = 400) -> dict[str, Estimate]:
    """What models of the testbed can do as critic and judge, on replies to held-out prompts."""
    own = Seed(seed).child("skills")
    one, other = (
        LocalRespondent(load_policy(str(model)).eval(), seed=own.child("asked"))
        for model in (critic, judge)
    )
    return skills(one, other, load_constitution("assistant"), n=n, speaker=SPEAKER, seed=own)


def _bare(estimate: Estimate) -> dict[str, Any]:
    return {k: getattr(estimate, k) for k in ("value", "low", "high", "n", "method")}


def joined(arm: Arm, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The seeds together: each is one unit."""
    names = [
        *(f"attack_success/{p}/{ATTACK}" for p in ("baseline", *arm.policies)),
        *(f"attack_success_change/{p}/{ATTACK}" for p in arm.policies),
        *(f"over_refusal/{p}" for p in ("baseline", *arm.policies)),
        *(f"over_refusal_change/{p}" for p in arm.policies),
        *(f"helpfulness/{p}" for p in ("baseline", *arm.policies)),
        *(f"helpfulness_change/{p}" for p in arm.policies),
        "ai/judge_agreement",
        "ai/judge_position_consistency",
        "ai/judge_tokens_per_label",
        *(name for name in runs[0]["estimates"] if name.startswith("skill/")),
    ]
    return {name: over_seeds([run["estimates"][name]["value"] for run in runs]) for name in names}


def main() -> None:
    """Measures every seed and writes results, figure and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--critic", choices=ARMS, default="scripted")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--runs", type=Path, help="keep the runs here, and go on with those there")
    parser.add_argument("--out", type=Path, help="results; left out, those that the page shows")
    parser.add_argument("--page", action="store_true", help="only figure and page, from results")
    given = parser.parse_args()
    arm: Arm = ARMS[given.critic]
    out: Path = given.out or arm.results
    if not given.page:
        margin = next(s for s in load_recipe(arm.recipe).stages if s.name == "safety").margin  # pyright: ignore
        with tempfile.TemporaryDirectory() as temporary:
            folder = given.runs or Path(temporary)
            runs: list[dict[str, Any]] = []
            for seed in map(int, given.seeds.split(",")):
                runs.append(measure(arm, seed, folder / f"seed-{seed}"))
                result = {
                    "machine": describe(),
                    "attack": ATTACK,
                    "margin": margin,
                    "runs": runs,
                    "seeds": joined(arm, runs),
                }
                out.write_text(json.dumps(result, indent=1) + "\n")
    if out == arm.results:
        write_page(json.loads(out.read_text()), arm.name)


if __name__ == "__main__":
    main()
