import json
from pathlib import Path

from fairlead.report import report_json


def test_report_json_is_standard_and_complete(finished_run: Path):
    report = report_json(finished_run)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert list(report) == ["run", "verdict", "gates", "audits", "estimates", "stages", "notes"]
    assert report["run"]["seed"] == 7
    assert report["run"]["seconds"] == 2.4 + 312 + 4810 + 96
    assert report["estimates"][0] == {
        "stage": "evaluate",
        "name": "Win rate, DPO against SFT",
        "value": 0.642,
        "low": 0.601,
        "high": 0.683,
        "n": 512,
        "method": "paired bootstrap over prompts, 10,000 draws",
        "seed": 11,
        "level": 0.95,
    }
    assert report["estimates"][4]["low"] is None
    assert [s["name"] for s in report["stages"]] == ["prepare", "reward", "dpo", "evaluate"]
    assert [s["cached"] for s in report["stages"]] == [True, False, False, False]
    assert report["notes"] == ["14 of 526 prompts were left out: both replies were identical."]
