"""A recipe of one training stage, for the command line."""

from collections.abc import Sequence
from typing import Any

import yaml

from fairlead.core.errors import ConfigError
from fairlead.pipeline.recipe import Recipe, parse_recipe

HELD_OUT = 0.1
"""Share of the data that is kept for measuring."""


def single_stage(
    kind: str, *, model: str, data: str, seed: int, settings: Sequence[str] = ()
) -> Recipe:
    """Reads and splits the data, then trains one stage on it.

    Args:
        kind: sft, reward, dpo or ppo.
        model: what to start from.
        data: file, folder or hub name.
        seed: root of everything random.
        settings: `a.b=value` of the stage; those of `data.` belong to reading (data.format=...).

    Raises:
        ConfigError: a setting is unknown or does not fit.
    """
    reading: dict[str, Any] = {"kind": "records", "name": "data", "path": data}
    reading["parts"] = {"train": 1 - HELD_OUT, "test": HELD_OUT}
    stage: dict[str, Any] = {
        "kind": kind,
        "name": kind,
        "model": model,
        "data": "@data/train.jsonl",
    }
    if kind != "ppo":
        stage["test"] = "@data/test.jsonl"
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign:
            raise ConfigError("a setting has no '='", where=setting, expected="key=value")
        _put(reading if key.startswith("data.") else stage, key.removeprefix("data."), text)
    recipe = {"name": f"train-{kind}", "seed": seed, "stages": [reading, stage]}
    return parse_recipe(recipe, where="command line")


def _put(place: dict[str, Any], key: str, text: str) -> None:
    *parents, last = key.split(".")
    for part in parents:
        place = place.setdefault(part, {})
    place[last] = yaml.safe_load(text)
