"""A recipe of one training stage, for the command line."""

from collections.abc import Sequence
from typing import Any

from fairlead.core.errors import ConfigError
from fairlead.pipeline.recipe import Recipe, parse_recipe, parse_value, put

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
            raise ConfigError(
                "a setting has no '='",
                where=setting,
                expected="key=value",
                remedy="write the value after the key, without blanks",
            )
        target = reading if key.startswith("data.") else stage
        keys = key.removeprefix("data.").split(".")
        put(target, keys, parse_value(text, where=setting), where=setting)
    recipe = {"name": f"train-{kind}", "seed": seed, "stages": [reading, stage]}
    return parse_recipe(recipe, where="command line")
