"""Recipes: a run as data. YAML in, a typed frozen value out; unknown keys are refused."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fairlead.core.errors import ConfigError
from fairlead.pipeline.stages import AnyStage
from fairlead.pipeline.stages.feedback import with_labels
from fairlead.pipeline.unrolling import unrolled
from fairlead.pipeline.values import as_mapping, parse_setting, put


class Recipe(BaseModel):
    """A named list of stages, run in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Name of the run, and of its folder where none is given."""
    seed: int = 0
    """Root of everything random."""
    stages: tuple[AnyStage, ...] = Field(min_length=1)
    """What to do, in order; a stage refers to an earlier one as `@name` or `@name/file`."""

    @model_validator(mode="before")
    @classmethod
    def _labels_come_first(cls, values: Any) -> Any:
        """`data` that names a feedback campaign becomes a stage of its own."""
        if not isinstance(values, dict) or "stages" not in values:
            return values
        return {**values, "stages": with_labels(values["stages"])}

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


def load_recipe(
    path: str | Path, overrides: Sequence[str] = (), *, rounds: int | None = None
) -> Recipe:
    """Reads a recipe file and applies `a.b=value` overrides.

    A recipe may hold a `let` section of named values, which stages take up as `${a.b}`. An
    override names a value of `let`, `seed`, `name`, or a stage's setting as `stage.key` (for a
    stage of the `rounds` section: in every round); it must name something that is there, so a
    misspelt key is refused.

    Args:
        path: the recipe.
        overrides: settings as `a.b=value`.
        rounds: how often the stages of its `rounds` section run, instead of `rounds.count`.

    Raises:
        ConfigError: the file is missing or no YAML, a key is unknown or a value does not fit, or
            it has no `rounds` though their number is given.
    """
    path = Path(path)
    raw = as_mapping(_parsed(path), str(path), "recipe")
    values = as_mapping(raw.pop("let", None) or {}, str(path), "`let` section")
    for override in overrides:
        _override(raw, values, override, path)
    repeated = raw.pop("rounds", None)
    if rounds is not None and repeated is None:
        raise ConfigError(
            "this recipe has no rounds",
            where=str(path),
            expected="a `rounds` section",
            remedy="run it with `fairlead run`, or write the stages that repeat under `rounds`",
        )
    filled = _filled(raw, values, str(path))
    if repeated is not None:
        fill = _filler(values, str(path))
        listed = filled.get("stages")
        stages = unrolled(repeated, rounds, fill, where=str(path))
        filled["stages"] = [*(listed if isinstance(listed, list) else []), *stages]
    return parse_recipe(filled, where=str(path))


def _filler(values: dict[str, Any], where: str) -> Callable[[Any, Mapping[str, Any]], Any]:
    """Fills in the values of `let` and those that belong to a round."""
    return lambda value, own: _filled(value, {**values, **own}, where)


def _parsed(path: Path) -> Any:
    try:
        return _unshared(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(
            "no such recipe", where=str(path), remedy="check the path of the recipe"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"the recipe cannot be read: {error.strerror}",
            where=str(path),
            remedy="name a YAML file that you may read",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            "the recipe is not YAML",
            where=str(path),
            got=str(error),
            remedy="correct the file; indentation and quotes are the usual causes",
        ) from error


def _unshared(value: Any) -> Any:
    """What a YAML anchor gave to several places becomes a copy for each, to be overridden alone."""
    if isinstance(value, dict):
        return {k: _unshared(v) for k, v in value.items()}
    return [_unshared(v) for v in value] if isinstance(value, list) else value


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


def _override(raw: dict[str, Any], values: dict[str, Any], override: str, path: Path) -> None:
    """Sets a value of `let` that is there, the seed or name, or any setting of a stage."""
    (first, *rest), value = parse_setting(override)
    stages = {
        stage["name"]: stage
        for stage in _listed(raw) + _listed(raw.get("rounds"))
        if isinstance(stage, dict) and "name" in stage
    }
    if _replaced(values, [first, *rest], value):
        return
    if not rest and first in ("seed", "name"):
        raw[first] = value
    elif rest and first in stages:
        put(stages[first], rest, value, where=override)
    else:
        raise ConfigError(
            f"the recipe has no key {'.'.join([first, *rest])!r}",
            where=f"{path}, override {override!r}",
            expected=f"a key under one of: {', '.join([*values, *stages, 'seed', 'name'])}",
            remedy="check the spelling",
        )


def _listed(section: Any) -> list[Any]:
    """The stages of a section that may have any form yet."""
    stages = section.get("stages") if isinstance(section, dict) else None
    return stages if isinstance(stages, list) else []


def _replaced(place: Any, keys: Sequence[str], value: Any) -> bool:
    """Replaces what is at `keys`; False where nothing is there."""
    *parents, last = keys
    for part in parents:
        place = place.get(part) if isinstance(place, dict) else None
    if not isinstance(place, dict) or last not in place:
        return False
    place[last] = value
    return True


REFERENCE = re.compile(r"\$\{([^{}]*)\}")


def _filled(value: Any, values: dict[str, Any], where: str) -> Any:
    """Replaces `${a.b}` by what `let` holds there; within a longer text or a key, by its text."""
    if isinstance(value, dict):
        return {_key(k, values, where): _filled(v, values, where) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, values, where) for v in value]
    if not isinstance(value, str):
        return value
    whole = REFERENCE.fullmatch(value)
    if whole:
        return _let(whole[1], values, where)
    return REFERENCE.sub(lambda match: str(_let(match[1], values, where)), value)


def _key(key: Any, values: dict[str, Any], where: str) -> Any:
    return str(_filled(key, values, where)) if isinstance(key, str) else key


def _let(name: str, values: dict[str, Any], where: str) -> Any:
    found: Any = values
    for part in name.split("."):
        if not isinstance(found, dict) or part not in found:
            raise ConfigError(
                f"${{{name}}} refers to nothing",
                where=where,
                remedy="define it in the `let` section",
            )
        found = found[part]
    return found
