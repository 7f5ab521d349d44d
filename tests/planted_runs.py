"""Run folders with planted metrics, written by the product's own writers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fairlead.core.estimates import NamedEstimate
from fairlead.core.files import write_json
from fairlead.lineage import RunRecord, StageRecord, StageResult, write_result, write_run
from fairlead.training.logger import Logger

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
STEPS = 40


@dataclass(frozen=True)
class Planted:
    """A stage: curves as (start, end), a straight line between; estimates as (value, low, high)."""

    kind: str
    curves: dict[str, tuple[float, float]] = field(default_factory=dict)
    estimates: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    steps: int = STEPS
    n: int = 500
    status: Literal["complete", "failed"] = "complete"

    def but(self, **changes: Any) -> "Planted":
        """The same with other curves or estimates, or without those that are None."""
        values = {**self.__dict__}
        for name in ("curves", "estimates"):
            merged = values[name] | changes.pop(name, {})
            values[name] = {key: value for key, value in merged.items() if value is not None}
        return Planted(**(values | changes))


SFT = Planted(
    "sft",
    curves={"loss/nll": (2.0, 1.5), "train/gradient_norm": (1.0, 0.5)},
    estimates={"sft/held_out_nll": (1.55, 1.5, 1.6)},
)
REWARD = Planted(
    "reward",
    curves={
        "reward/accuracy": (0.5, 0.75),
        "reward/margin": (0.0, 1.0),
        "train/gradient_norm": (2.0, 1.0),
    },
    estimates={
        "reward_model/accuracy": (0.70, 0.66, 0.74),
        "baseline/pick_longer": (0.55, 0.51, 0.59),
        "baseline/pick_shorter": (0.45, 0.41, 0.49),
    },
)
RL = Planted(
    "rl",
    curves={
        "rollout/eos_rate": (0.98, 0.99),
        "rollout/length": (50.0, 60.0),
        "rollout/sampler_gap": (0.0, 0.0),
        "policy/entropy": (1.5, 1.2),
        "policy/ratio": (1.0, 1.0),
        "policy/kl_old_k3": (0.0, 0.01),
        "policy/clip_fraction": (0.0, 0.1),
        "policy/kl_k1": (0.0, 5.0),
        "reward/score": (-0.5, 0.5),
        "reward/score_squared": (1.25, 1.25),
        "train/gradient_norm": (0.5, 0.5),
    },
    settings={"reward": "@reward", "train": {"max_grad_norm": 1.0}},
)
PREFERENCE = Planted(
    "preference",
    curves={
        "policy/logp_chosen": (-50.0, -52.0),
        "policy/log_ratio_abs": (0.0, 3.0),
        "reward/accuracy": (0.5, 0.75),
        "train/gradient_norm": (1.0, 1.0),
    },
    estimates={"preference/implicit_accuracy": (0.68, 0.64, 0.72)},
    settings={"train": {}},
)
HEALTHY = {"sft": SFT, "reward": REWARD, "rl": RL, "preference": PREFERENCE}


def write_planted(folder: Path, stages: dict[str, Planted]) -> Path:
    """A run folder with these stages."""
    records: list[StageRecord] = []
    for name, stage in stages.items():
        own = folder / "stages" / name
        write_json(own / "config.json", {"stage": stage.settings, "seed": 0, "fairlead": "0"})
        _log(own, stage)
        estimates = [
            NamedEstimate(name=n, value=v, low=low, high=high, n=stage.n, method="planted")
            for n, (v, low, high) in stage.estimates.items()
        ]
        write_result(own, StageResult(estimates=tuple(estimates)))
        records.append(
            StageRecord(
                name=name,
                kind=stage.kind,
                folder=f"stages/{name}",
                seconds=1.0,
                status=stage.status,
                cached=False,
            )
        )
    write_run(
        folder,
        RunRecord(name="planted", seed=0, started=MOMENT, recipe={}, stages=tuple(records)),
    )
    return folder


def _log(folder: Path, stage: Planted) -> None:
    if not stage.curves:
        return
    with Logger(folder, stage.kind, stage.steps, 0) as logger:
        for step in range(stage.steps):
            done = step / max(stage.steps - 1, 1)
            logger.log(step + 1, {n: _at(ends, done) for n, ends in stage.curves.items()})


def _at(ends: Sequence[float], done: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * done
