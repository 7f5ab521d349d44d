"""Rounds of a recipe: stages that are written once and run several times, each after the last.

A recipe may hold a section beside its stages:

    rounds:
      count: 3
      before:
        policy: {first: "@sft", then: "@policy"}
      stages:
        - {name: label, kind: label, policy: "${before.policy}", ...}
        - {name: policy, kind: rl, ...}

It stands for the stages `round-1-label`, `round-1-policy`, `round-2-label`... so that every round
has folders, manifests and a cache of its own, and a stopped run goes on where it was.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from fairlead.core.errors import ConfigError

Fill = Callable[[Any, Mapping[str, Any]], Any]
"""Puts values in place of `${a.b}`."""


class Carried(BaseModel):
    """What a round takes over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Any
    """`${before.NAME}` in the first round."""
    then: Any
    """The same in later rounds; `@stage` is that stage of the round before."""


class Rounds(BaseModel):
    """Stages to run several times."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: PositiveInt
    """How many rounds."""
    before: dict[str, Carried] = {}
    """What each round takes over from the one before."""
    stages: tuple[dict[str, Any], ...]
    """The stages of one round. `@name` is a stage of the same round or one before all rounds;
    `${round}` is the round's number, from 1."""


def unrolled(section: Any, count: int | None, fill: Fill, *, where: str) -> list[dict[str, Any]]:
    """The stages of all rounds, as plain data.

    Args:
        section: the recipe's `rounds`.
        count: how many rounds instead of the section's own number.
        fill: puts values in place of `${a.b}`, given those that belong to the round.
        where: the recipe, for errors.

    Raises:
        ConfigError: the section does not have this form.
    """
    own = section if count is None or not isinstance(section, dict) else section | {"count": count}
    rounds = _checked(own, fill, where)
    names = [str(stage.get("name")) for stage in rounds.stages]
    stages: list[dict[str, Any]] = []
    for number in range(1, rounds.count + 1):
        before = {
            name: one.first if number == 1 else in_round(one.then, number - 1, names)
            for name, one in rounds.before.items()
        }
        known = {"round": number, "before": before}
        stages += [_stage(fill(stage, known), number, names) for stage in rounds.stages]
    return stages


def in_round(value: Any, number: int, names: Sequence[str]) -> Any:
    """The same with references to these stages, and references only, put into a round."""
    if isinstance(value, dict):
        return {key: in_round(one, number, names) for key, one in value.items()}
    if isinstance(value, list):
        return [in_round(one, number, names) for one in value]
    if isinstance(value, str) and value.startswith("@"):
        name, slash, rest = value[1:].partition("/")
        return f"@{round_name(number, name)}{slash}{rest}" if name in names else value
    return value


def round_name(number: int, stage: str) -> str:
    """What a stage is called in a round."""
    return f"round-{number}-{stage}"


def _stage(stage: dict[str, Any], number: int, names: Sequence[str]) -> dict[str, Any]:
    return in_round(stage, number, names) | {"name": round_name(number, str(stage["name"]))}


def _checked(section: Any, fill: Fill, where: str) -> Rounds:
    raw = dict(section) if isinstance(section, dict) else {}
    # What belongs to a round is filled in round by round; the rest is known now.
    known = {name: fill(raw[name], {}) for name in ("count", "before") if name in raw}
    try:
        rounds = Rounds.model_validate(raw | known)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(
            "the `rounds` section has not the form it must have",
            where=where,
            expected="count, stages, and before: {name: {first: ..., then: ...}}",
            got=faults,
            remedy="see docs/recipes.md",
        ) from error
    if any(not stage.get("name") for stage in rounds.stages) or not rounds.stages:
        raise ConfigError(
            "every stage of a round needs a name", where=where, remedy="add `name: ...`"
        )
    return rounds
