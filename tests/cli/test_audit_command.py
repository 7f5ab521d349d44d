"""`fairlead audit` on tiny models: exit codes, resume, errors, and the audits' own proof."""

import json
from pathlib import Path

import pytest

from fairlead.core.files import read_json
from small_world import write_base
from tiny_runs import fails, fairlead

RECIPE = """
audits:
  - {{kind: behaviours, data: {data}, margin: {margin}}}
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return write_base(folder / "one", seed=0), write_base(folder / "two", seed=1)


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "items.jsonl"
    rows = [
        {
            "question": f"please say yes or no to number {i}",
            "answer_matching_behavior": " yes",
            "answer_not_matching_behavior": " no",
        }
        for i in range(40)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def recipe(folder: Path, items: Path, margin: float) -> Path:
    path = folder / f"audit-{margin}.yaml"
    path.write_text(RECIPE.format(data=items, margin=margin))
    return path


def test_a_model_against_itself_ships(tmp_path: Path, models: tuple[Path, Path], items: Path):
    one = models[0]
    audited = ("audit", one, "--against", one, "--recipe", recipe(tmp_path, items, 0.03))
    result = fairlead(*audited, "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.stderr
    found = read_json(tmp_path / "run" / "stages" / "audit" / "result.json")["findings"][0]
    assert found["gates"][0]["change"]["value"] == 0
    assert found["gates"][0]["verdict"] == "pass"
    report = fairlead("report", tmp_path / "run", "--check")
    assert report.exit_code == 0


def test_exit_codes_follow_the_decision(tmp_path: Path, models: tuple[Path, Path], items: Path):
    one, two = models

    def code(candidate: Path, baseline: Path, margin: float) -> tuple[int, float]:
        out = tmp_path / f"{candidate.name}-{margin}"
        given = ("--against", baseline, "--recipe", recipe(tmp_path, items, margin), "--out", out)
        ended = fairlead("audit", candidate, *given).exit_code
        stored = read_json(out / "stages" / "audit" / "result.json")["findings"][0]["gates"][0]
        return ended, stored["change"]["value"]

    ended, change = code(two, one, 0.0)
    other, _ = code(one, two, 0.0)
    assert {ended, other} == {0, 1}
    assert (ended == 1) is (change > 0)


def test_a_stopped_audit_goes_on(tmp_path: Path, models: tuple[Path, Path], items: Path):
    one, two = models
    given = ("audit", two, "--against", one, "--recipe", recipe(tmp_path, items, 1.0))
    fairlead(*given, "--out", tmp_path / "whole")
    fairlead(*given, "--out", tmp_path / "run")
    folder = tmp_path / "run" / "stages" / "audit"
    whole = read_json(tmp_path / "whole" / "stages" / "audit" / "result.json")
    (folder / "manifest.json").unlink()
    (folder / "result.json").unlink()
    again = fairlead(*given, "--out", tmp_path / "run", "--resume")
    assert again.exit_code == 0
    assert read_json(folder / "result.json") == whole


def test_errors_say_what_is_missing(tmp_path: Path, models: tuple[Path, Path]):
    one = str(models[0])
    bare = fairlead("audit", one)
    assert bare.exit_code == 3
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("audits: [{kind: sycofancy}]")
    text = fails("audit", one, "--against", one, "--recipe", wrong, code=3)
    assert "sycofancy" in text
    none = tmp_path / "judge.yaml"
    none.write_text(f"audits: [{{kind: win_rate, prompts: {tmp_path / 'p.jsonl'}}}]")
    (tmp_path / "p.jsonl").write_text('{"prompt": "say yes"}\n')
    out = tmp_path / "j"
    text = fails("audit", one, "--against", one, "--recipe", none, "--out", out, code=3)
    assert "needs a judge" in text


def test_the_self_test_prints_numbers():
    result = fairlead("audit", "--self-test", "--only", "gamed checker", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    (case,) = found["audits"]
    assert (case["name"], case["found"], case["runs"]) == ("gamed checker", True, 200)
    assert case["power"] >= 0.8
    assert case["false_alarm_interval"][0] <= 0.05
    unknown = fairlead("audit", "--self-test", "--only", "nothing")
    assert unknown.exit_code == 3
