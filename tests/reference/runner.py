"""Reads a file of reference values, runs its cases and says which match."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import (  # noqa: F401 - they enter their cases
    cases_preferences,
    cases_rest,
    cases_rewards,
    cases_rollouts,
)
from .compare import Difference, differences, shown
from .registry import CASES, NotOffered, as_tensors


class BadFile(ValueError):
    """A file that does not hold reference values."""


@dataclass
class Outcome:
    """What became of the cases of a file, by name."""

    matched: list[str] = field(default_factory=list)
    mismatched: dict[str, list[Difference]] = field(default_factory=dict)
    not_built: list[str] = field(default_factory=list)
    not_offered: dict[str, list[Difference]] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        total = len(self.matched) + len(self.mismatched) + len(self.not_built)
        return f"{len(self.matched)} of {total} cases match, {len(self.not_built)} not built"


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Cases of a file: name -> {inputs, outputs}.

    Raises:
        BadFile: it cannot be read, or has another form.
    """
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: not JSON: {error}") from None
    if not isinstance(cases, dict) or not cases:
        raise BadFile(f"{path}: expected an object of cases, got {shown(cases)}")
    for name, one in cases.items():
        parts = one if isinstance(one, dict) else {}
        for part in ("inputs", "outputs"):
            if not isinstance(parts.get(part), dict):
                raise BadFile(f"{path}: case {name!r} needs an object named {part!r}")
        if not parts["outputs"]:
            raise BadFile(f"{path}: case {name!r} has no outputs to compare")
    return cases


def run(cases: dict[str, dict[str, Any]]) -> Outcome:
    """Runs every case through the product."""
    outcome = Outcome()
    for name, one in cases.items():
        try:
            found = _found(name, one)
        except (ImportError, KeyError) as error:
            if _is_missing(name, error):
                outcome.not_built.append(name)
                continue
            found = [Difference("", "outputs", _failure(error))]
        except Exception as error:  # whatever an adapter meets is the case's result
            found = [Difference("", "outputs", _failure(error))]
        _entered(outcome, name, found)
    return outcome


def main(path: Path, say: Callable[[str], None] = print) -> int:
    """Runs a file; 0 where nothing mismatches, 1 where something does, 2 for a bad file."""
    try:
        outcome = run(read(path))
    except BadFile as error:
        say(f"error: {error}")
        return 2
    for name, found in outcome.not_offered.items():
        for one in found:
            say(f"{name}: {one.path}: not offered: {one.got.reason}")
    for name, found in outcome.mismatched.items():
        for one in found:
            place = f"{name}: {one.path}" if one.path else name
            say(f"{place}: expected {shown(one.expected)}, got {shown(one.got)}")
    if outcome.not_built:
        say("not built: " + ", ".join(outcome.not_built))
    say(outcome.summary)
    return 1 if outcome.mismatched else 0


def _found(name: str, one: dict[str, Any]) -> list[Difference]:
    got = CASES[name](as_tensors(one["inputs"]))
    return list(differences(one["outputs"], got))


def _is_missing(name: str, error: ImportError | KeyError) -> bool:
    """Whether the case is unknown, or its part of the product is not there."""
    if isinstance(error, ImportError):
        return (error.name or "").split(".")[0] == "fairlead"
    return name not in CASES


def _failure(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no input {error}"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _entered(outcome: Outcome, name: str, found: list[Difference]) -> None:
    absent = [one for one in found if isinstance(one.got, NotOffered)]
    wrong = [one for one in found if not isinstance(one.got, NotOffered)]
    if absent:
        outcome.not_offered[name] = absent
    if wrong:
        outcome.mismatched[name] = wrong
    else:
        outcome.matched.append(name)
