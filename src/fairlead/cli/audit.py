"""What `fairlead audit` does: a recipe of one stage, or the test of the audits themselves."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.table import Column, Table

from fairlead.audits.self_test import CaseResult, Coverage, SelfTest
from fairlead.core.errors import ConfigError
from fairlead.core.estimates import Estimate
from fairlead.core.gates import Gate
from fairlead.pipeline.recipe import Recipe, parse_recipe
from fairlead.pipeline.respondents import spec_values
from fairlead.pipeline.values import as_mapping, parse_setting, put

STAGE = "audit"


def audit_recipe(
    model: str, *, against: str, recipe: Path, seed: int | None, settings: Sequence[str] = ()
) -> Recipe:
    """A recipe of one audit stage from a file that names audits and their margins.

    Args:
        model: the candidate: a folder, a hub name, or the description of a server.
        against: the baseline, likewise.
        recipe: YAML with `audits`, and possibly `judge`, `rewards` and `seed`.
        seed: root of everything random; None for the file's own.
        settings: `a.b=value` of the stage.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown or does not fit.
    """
    stage: dict[str, Any] = dict(as_mapping(_read(recipe), str(recipe), "audit recipe"))
    own = stage.pop("seed", 0)
    stage |= {
        "kind": "audit",
        "name": STAGE,
        "candidate": spec_values(model, where="MODEL"),
        "baseline": spec_values(against, where="--against"),
    }
    for setting in settings:
        keys, value = parse_setting(setting)
        put(stage, keys, value, where=setting)
    name = "audit-" + re.sub(r"[^a-z0-9_]+", "-", recipe.stem.lower()).strip("-")
    values = {"name": name, "seed": own if seed is None else seed, "stages": [stage]}
    return parse_recipe(values, where=str(recipe))


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            "the audit recipe cannot be read",
            where=str(path),
            got=str(error.strerror),
            remedy="name a YAML file with `audits:`; recipes/audits/standard.yaml is one",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            "the audit recipe is not YAML", where=str(path), got=str(error)
        ) from error


def gate_table(gates: Sequence[Gate]) -> Table:
    """The gates with what decides them."""
    verdict = Column("verdict", no_wrap=True)
    table = Table(_name("gate"), "change", "margin", "items", "unscored", verdict, "needed")
    for gate in gates:
        # A place to break the line at; names are longer than a narrow terminal has room for.
        name = gate.name.replace("/", " / ")
        table.add_row(
            name if gate.hard else f"{name} (informs)",
            _change(gate.change),
            f"{gate.margin:g}",
            str(gate.items),
            str(sum(gate.unscored.values())),
            gate.verdict,
            "" if gate.needed is None else f"{gate.needed:,}",
        )
    return table


def _name(head: str) -> Column:
    """A column whose long words are broken, not cut."""
    return Column(head, overflow="fold")


def _change(change: Estimate) -> str:
    if math.isnan(change.low) or math.isnan(change.high):
        return "no interval"
    return f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"


def proof_table(found: SelfTest) -> list[Table]:
    """How the audits did on planted defects, and how intervals cover."""
    names = _name("planted defect"), _name("audit")
    cases = Table(*names, "found", "false alarms", "passes clean", "proven")
    for one in found.audits:
        shares = map(_share, (one.power, one.false_alarm, one.passed))
        cases.add_row(one.name, one.audit, *shares, _said(one))
    intervals = Table("interval of 95 %", "holds the truth", "proven")
    for one in found.coverage:
        intervals.add_row(one.name, _share(one.coverage), _said(one))
    return [cases, intervals] if found.coverage else [cases]


def proof_json(found: SelfTest) -> dict[str, Any]:
    """The same as JSON values; shares are numbers, with their intervals beside them."""
    return {
        "seed": found.seed,
        "proven": found.proven,
        "audits": [
            {
                "name": one.name,
                "audit": one.audit,
                "found": one.found,
                "power": one.power.value,
                "power_interval": [one.power.low, one.power.high],
                "false_alarm": one.false_alarm.value,
                "false_alarm_interval": [one.false_alarm.low, one.false_alarm.high],
                "passed": one.passed.value,
                "runs": one.false_alarm.n,
                "proven": one.proven,
            }
            for one in found.audits
        ],
        "coverage": [
            {
                "name": one.name,
                "coverage": one.coverage.value,
                "coverage_interval": [one.coverage.low, one.coverage.high],
                "runs": one.coverage.n,
                "proven": one.proven,
            }
            for one in found.coverage
        ],
    }


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


def _said(one: CaseResult | Coverage) -> str:
    return "yes" if one.proven else "NO"
