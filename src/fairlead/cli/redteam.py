"""What `fairlead redteam` does: a recipe of one stage."""

from collections.abc import Sequence
from typing import Any

from fairlead.pipeline.recipe import Recipe, parse_recipe
from fairlead.pipeline.respondents import spec_values
from fairlead.pipeline.values import parse_setting, put


def red_team_recipe(
    model: str,
    *,
    against: str | None,
    behaviours: str,
    harmless: str | None,
    attacks: str | None,
    attacker: str | None,
    judge: str | None,
    seed: int,
    settings: Sequence[str] = (),
) -> Recipe:
    """A recipe that attacks one model, next to a baseline where one is given.

    Raises:
        ConfigError: a setting is unknown or does not fit.
    """
    stage: dict[str, Any] = {
        "kind": "red_team",
        "name": "red-team",
        "baseline": against or model,
        "policies": {"model": model} if against else {},
        "behaviours": behaviours,
    }
    if harmless:
        stage["harmless"] = harmless
    if attacks:
        stage["attacks"] = [name.strip() for name in attacks.split(",")]
    for key, asked in (("attacker", attacker), ("judge", judge)):
        if asked:
            stage[key] = spec_values(asked, where=f"--{key}")
    for setting in settings:
        keys, value = parse_setting(setting)
        put(stage, keys, value, where=setting)
    recipe = {"name": "red-team", "seed": seed, "stages": [stage]}
    return parse_recipe(recipe, where="command line")
