from pathlib import Path

import pytest

from fairlead.cli import shell
from planted_runs import HEALTHY, RL, Planted, write_planted
from tiny_runs import fails, fairlead

RUNAWAY = RL.but(curves={"policy/kl_k1": (0.0, 150.0)})


@pytest.mark.parametrize(
    ("stages", "fault", "code"),
    [
        (HEALTHY, "none found", 0),
        (HEALTHY | {"rl": RUNAWAY}, "rl", 1),
        ({"data": Planted("records")}, "not enough to tell", 3),
    ],
)
def test_last_line_and_exit_code_say_what_is_at_fault(
    tmp_path: Path, stages: dict[str, Planted], fault: str, code: int
):
    run = write_planted(tmp_path / "run", stages)
    result = fairlead("diagnose", run)
    assert result.exit_code == code
    assert result.stdout.splitlines()[-1] == f"fault: {fault}"


def test_tables_show_value_range_verdict_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shell.out, "width", 300)
    run = write_planted(tmp_path / "run", HEALTHY | {"rl": RUNAWAY})
    lines = fairlead("diagnose", run).stdout.splitlines()
    (row,) = [line for line in lines if "KL to the reference" in line]
    _, value, normal, verdict, remedy = (cell.strip() for cell in row.strip("│").split("│"))
    assert (value, normal, verdict) == ("144", "0.01 to 30", "bad")
    assert remedy.startswith("raise rollouts.kl.coefficient")
    (missing,) = [
        line for line in lines if "held-out pairs (lower bound)" in line and "margin" in line
    ]
    assert "not measured" in missing


def test_json_holds_every_finding_and_only_json_is_printed(tmp_path: Path):
    import json

    run = write_planted(tmp_path / "run", HEALTHY | {"rl": RUNAWAY})
    result = fairlead("diagnose", run, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["fault"] == "rl" and found["run"] == "planted"
    (kl,) = [f for f in found["findings"] if f["what"].startswith("KL to the reference")]
    assert kl["value"] == pytest.approx(144.23, abs=0.01) and kl["verdict"] == "bad"
    assert kl["normal"] == [0.01, 30.0] and kl["area"] == "rl" and kl["stage"] == "rl"


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    assert "run.json" in fails("diagnose", tmp_path)
