"""The verdict follows from the JSON alone; what was tampered with is caught."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fairlead.cli.main import app
from fairlead.core.errors import DataError
from fairlead.core.files import read_json, write_json
from fairlead.report import check, report_json
from fairlead.report.checking import check_report
from planted_audits import findings, write_audited


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audited(tmp_path_factory.mktemp("check") / "run", findings())


@pytest.fixture(scope="module")
def report(run: Path) -> dict[str, Any]:
    return report_json(run)


def fairlead(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def changed(report: dict[str, Any], gate: str, **values: Any) -> dict[str, Any]:
    other = copy.deepcopy(report)
    (found,) = [one for one in other["gates"] if one["name"] == gate]
    for name, value in values.items():
        where = found["change"] if name in ("value", "low", "high") else found
        where[name] = value
    return other


def test_an_honest_report_holds(run: Path, report: dict[str, Any]):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    found = check(run)
    assert (found.decision, found.gates, found.problems) == ("DO NOT SHIP", 15, ())
    assert check_report(json.loads(json.dumps(report))) == found


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"verdict": "pass"}, "stored pass, its numbers say fail"),
        ({"high": 0.01, "low": -0.01}, "stored fail, its numbers say pass"),
        ({"margin": 0.5}, "stored fail, its numbers say pass"),
        ({"adjusted_p": 0.4}, "stored fail, its numbers say inconclusive"),
        ({"low": None}, "stored fail, its numbers say inconclusive"),
    ],
)
def test_a_changed_gate_is_caught(report: dict[str, Any], values: dict[str, Any], said: str):
    name = "refusal/harmless requests refused"
    assert f"gate {name}: {said}" in check_report(changed(report, name, **values)).problems


def test_a_changed_decision_is_caught(report: dict[str, Any]):
    other = copy.deepcopy(report)
    other["verdict"] |= {"decision": "SHIP", "exit_code": 0}
    other["verdict"]["audited"][0]["decision"] = "SHIP"
    found = check_report(other)
    assert found.decision == "DO NOT SHIP"
    assert len(found.problems) == 3


def test_gates_declared_soft_afterwards_are_caught(report: dict[str, Any]):
    other = copy.deepcopy(report)
    for gate in other["gates"]:
        gate["hard"] = gate["verdict"] == "pass"
    assert "decision: stored DO NOT SHIP, the gates say SHIP" in check_report(other).problems


def test_what_is_no_report_is_refused(finished_run: Path, tmp_path: Path):
    with pytest.raises(DataError, match="nothing was audited"):
        check(finished_run)
    write_json(tmp_path / "other.json", {"gates": []})
    with pytest.raises(DataError, match="not a report"):
        check(tmp_path / "other.json")


def test_the_command_ends_as_the_decision_says(run: Path, report: dict[str, Any], tmp_path: Path):
    stored = tmp_path / "report.json"
    stored.write_text(fairlead("report", run, "--json").stdout)
    for path in (run, stored):
        result = fairlead("report", path, "--check")
        assert (result.exit_code, result.stdout) == (1, "DO NOT SHIP, from 15 gates\n")
    for verdict, code in (("pass", 0), ("inconclusive", 2)):
        kept = [g for g in report["gates"] if g["verdict"] in ("pass", verdict) and g["hard"]]
        decision = ("SHIP", "NOT ENOUGH EVIDENCE")[code // 2]
        new = {"decision": decision, "exit_code": code, "audited": []}
        write_json(stored, report | {"gates": kept, "verdict": report["verdict"] | new})
        assert fairlead("report", stored, "--check").exit_code == code


def test_the_command_refuses_a_changed_run(tmp_path: Path):
    run = write_audited(tmp_path / "run", findings())
    path = run / "stages" / "audit" / "result.json"
    result = read_json(path)
    gate = next(g for f in result["findings"] for g in f["gates"] if g["verdict"] == "fail")
    gate["verdict"] = "pass"
    write_json(path, result)
    ended = fairlead("report", run, "--check")
    assert ended.exit_code == 3
    assert "stored pass, its numbers say fail" in ended.stderr


def test_the_command_has_a_code_of_its_own_for_errors(finished_run: Path, tmp_path: Path):
    assert fairlead("report", finished_run, "--check").exit_code == 3
    assert fairlead("report", tmp_path / "nothing", "--check").exit_code == 3


def test_estimates_name_their_stage(finished_run: Path):
    found = json.loads(fairlead("report", finished_run, "--json").stdout)["estimates"]
    assert {one["stage"] for one in found} == {"evaluate"}


def test_markdown_says_what_the_json_says(run: Path, report: dict[str, Any]):
    text = fairlead("report", run, "--markdown").stdout
    lines = text.splitlines()
    assert lines[2] == "## DO NOT SHIP"
    rows = [line for line in lines if line.startswith("| ") and "| gate |" not in line]
    for gate in report["gates"]:
        (row,) = [line for line in rows if line.startswith(f"| {gate['name']} ")]
        cells = [cell.strip(" *") for cell in row.strip("|").split("|")]
        assert cells[1].lower() == gate["verdict"]
        assert float(cells[2].replace("\N{MINUS SIGN}", "-")) == pytest.approx(
            gate["change"]["value"], abs=6e-4
        )
        assert cells[5].replace(",", "") == str(gate["items"])
    assert "[U+202E]" in text and "\u202e" not in text
    assert "would improve only because answers have no score" in text
