"""Settings given as text: `a.b=value`."""

from collections.abc import Sequence
from typing import Any

import yaml

from fairlead.core.errors import ConfigError


def parse_setting(setting: str) -> tuple[list[str], Any]:
    """The keys and the value of `a.b=value`.

    Raises:
        ConfigError: there is no "=", or the value is not YAML.
    """
    key, sign, text = setting.partition("=")
    if not sign:
        raise ConfigError(
            "a setting has no '='",
            where=setting,
            expected="key=value",
            remedy="write the value after the key, without blanks",
        )
    return key.split("."), parse_value(text, where=setting)


def parse_value(text: str, *, where: str) -> Any:
    """The value of a `key=value` argument: YAML, where `@stage` needs no quotes.

    Raises:
        ConfigError: it is not YAML.
    """
    if text.startswith("@"):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            "the value is not YAML",
            where=where,
            got=str(error).splitlines()[0],
            remedy="put a text with special characters in quotes",
        ) from error


def put(place: dict[str, Any], keys: Sequence[str], value: Any, *, where: str) -> None:
    """Sets `place[a][b]...`, making the mappings that are not there yet.

    Raises:
        ConfigError: a key on the way holds something else than a mapping.
    """
    *parents, last = keys
    for part in parents:
        if place.get(part) is None:
            place[part] = {}
        place = as_mapping(place[part], where, f"setting {part!r}")
    place[last] = value


def as_mapping(value: Any, where: str, what: str) -> dict[str, Any]:
    """A value that must hold keys.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, dict):
        raise ConfigError(
            f"the {what} is not a mapping",
            where=where,
            got=type(value).__name__,
            remedy="write it as `key: value` lines; see docs/recipes.md",
        )
    return value
