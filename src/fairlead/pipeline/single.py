"""A recipe of one training stage, for the command line."""

from collections.abc import Sequence
from typing import Any

from fairlead.core.errors import ConfigError
from fairlead.objectives import (
    OBJECTIVES,
    DistillationBatch,
    Need,
    PreferenceBatch,
    RolloutBatch,
    SequenceBatch,
    StepBatch,
    UnpairedBatch,
)
from fairlead.objectives.pairs import PairObjective
from fairlead.pipeline.recipe import Recipe, parse_recipe
from fairlead.pipeline.values import parse_setting, put

HELD_OUT = 0.1
"""Share of the data that is kept for measuring."""


STAGES: dict[type, str] = {
    SequenceBatch: "sft",
    PreferenceBatch: "reward",
    StepBatch: "reward",
    UnpairedBatch: "preference",
    RolloutBatch: "rl",
    DistillationBatch: "verification",
}
"""Stage that trains an objective, by its batches; pairs may be for a policy or a judge too."""


def stage_of(method: str) -> str:
    """Kind of the stage that trains by a method; `reward` is the usual reward model.

    Raises:
        ConfigError: there is no such method.
    """
    if method == "reward":
        return "reward"
    objective = OBJECTIVES.get(method)
    if objective is None:
        raise ConfigError(
            f"there is no method {method!r}",
            expected=f"one of: {', '.join(['reward', *sorted(OBJECTIVES)])}",
            remedy="see `fairlead methods`",
        )
    if Need.ROLLOUTS in objective.needs and objective.batch is PreferenceBatch:
        return "rl"
    if issubclass(objective, PairObjective):
        return "compare" if objective.judges else "preference"
    return STAGES[objective.batch]


def single_stage(
    method: str, *, model: str, data: str, seed: int, settings: Sequence[str] = ()
) -> Recipe:
    """Reads and splits the data, then trains one stage on it.

    Args:
        method: the kind of an objective (sft, bradley_terry, dpo, kto, ppo...), or `reward`.
        model: what to start from.
        data: file, folder or hub name.
        seed: root of everything random.
        settings: `a.b=value` of the stage; those of `data.` belong to reading (data.format=...).

    Raises:
        ConfigError: there is no such method, or a setting is unknown or does not fit.
    """
    kind = stage_of(method)
    reading: dict[str, Any] = {"kind": "records", "name": "data", "path": data}
    reading["parts"] = {"train": 1 - HELD_OUT, "test": HELD_OUT}
    stage: dict[str, Any] = {
        "kind": kind,
        "name": method,
        "model": model,
        "data": "@data/train.jsonl",
    }
    if method not in ("sft", "reward"):
        stage["objective"] = {"kind": method}
    if kind in ("sft", "reward", "compare", "preference"):
        stage["test"] = "@data/test.jsonl"
    for setting in settings:
        (first, *rest), value = parse_setting(setting)
        if first == "data" and rest:
            put(reading, rest, value, where=setting)
        else:
            put(stage, [first, *rest], value, where=setting)
    recipe = {"name": f"train-{method}", "seed": seed, "stages": [reading, stage]}
    return parse_recipe(recipe, where="command line")
