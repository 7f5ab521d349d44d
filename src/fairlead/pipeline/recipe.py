"""Recipes: a run as data. YAML in, a typed frozen value out; unknown keys are refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fairlead.core.errors import ConfigError
from fairlead.pipeline.stages import AnyStage


class Recipe(BaseModel):
    """A named list of stages, run in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Name of the run, and of its folder where none is given."""
    seed: int = 0
    """Root of everything random."""
    stages: tuple[AnyStage, ...] = Field(min_length=1)
    """What to do, in order; a stage refers to an earlier one as `@name` or `@name/file`."""

    @model_validator(mode="after")
    def _refers_back(self) -> Self:
        known: set[str] = set()
        for stage in self.stages:
            if stage.name in known:
                raise ValueError(f"two stages are called {stage.name!r}")
            for name in stage.upstream():
                if name not in known:
                    raise ValueError(
                        f"stage {stage.name!r} refers to @{name}, which is no earlier stage "
                        f"(earlier: {', '.join(sorted(known)) or 'none'})"
                    )
            known.add(stage.name)
        return self


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe file and applies `a.b=value` overrides.

    A recipe may hold a `let` section of named values, which stages take up as `${a.b}`. An
    override names a value of `let`, `seed`, `name`, or a stage's setting as `stage.key`; it must
    name something that is there, so a misspelt key is refused.

    Raises:
        ConfigError: the file is missing or no YAML, a key is unknown or a value does not fit.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            "no such recipe", where=str(path), remedy="check the path of the recipe"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError("the recipe is not YAML", where=str(path), got=str(error)) from error
    if not isinstance(raw, dict):
        raise ConfigError("the recipe is not a mapping", where=str(path), got=type(raw).__name__)
    for override in overrides:
        _override(raw, override, path)
    values = raw.pop("let", {})
    return parse_recipe(_filled(raw, values, str(path)), where=str(path))


def parse_recipe(value: Any, *, where: str) -> Recipe:
    """Checks a recipe given as plain data.

    Raises:
        ConfigError: every fault, with the key it is at.
    """
    try:
        return Recipe.model_validate(value)
    except ValidationError as error:
        faults = "\n".join(f"    {_place(e['loc'])}: {e['msg']}" for e in error.errors())
        raise ConfigError(
            f"the recipe has {error.error_count()} fault(s)",
            where=where,
            got=f"\n{faults}",
            remedy="correct the keys named above; docs/recipes.md lists what each stage takes",
        ) from error


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _override(raw: dict[str, Any], override: str, path: Path) -> None:
    key, sign, text = override.partition("=")
    if not sign:
        raise ConfigError("an override has no '='", where=override, expected="key=value")
    stages = {stage["name"]: stage for stage in raw.get("stages", []) if "name" in stage}
    *parents, last = key.split(".")
    place: Any = raw
    if parents:
        first = parents.pop(0)
        place = raw.get("let", {}).get(first) or stages.get(first)
    for part in parents:
        place = place.get(part) if isinstance(place, dict) else None
    nested = isinstance(place, dict) and (last in place or place.get("kind") or parents)
    if not (nested or (place is raw and last in ("seed", "name"))):
        choices = [*raw.get("let", {}), *stages, "seed", "name"]
        raise ConfigError(
            f"the recipe has no key {key!r}",
            where=f"{path}, override {override!r}",
            expected=f"a key under one of: {', '.join(choices)}",
            remedy="check the spelling",
        )
    place[last] = yaml.safe_load(text)


def _filled(value: Any, values: dict[str, Any], where: str) -> Any:
    """Replaces `${a.b}` by what `let` holds there."""
    if isinstance(value, dict):
        return {k: _filled(v, values, where) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, values, where) for v in value]
    if not (isinstance(value, str) and value.startswith("${") and value.endswith("}")):
        return value
    found: Any = values
    for part in value[2:-1].split("."):
        if not isinstance(found, dict) or part not in found:
            raise ConfigError(
                f"{value} refers to nothing", where=where, remedy="define it in the `let` section"
            )
        found = found[part]
    return found
