"""The page on the feedback service shows the committed measurement, which held its bounds."""

import json

import pytest
from benchmarks.feedback_load import RESULTS
from benchmarks.feedback_load_page import PAGE, filled

REMEDY = "run `python -m benchmarks.feedback_load --page`"


def test_page_shows_the_committed_results():
    text = PAGE.read_text()
    assert "<!-- load:begin -->" in text
    assert filled(text, json.loads(RESULTS.read_text())) == text, REMEDY


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_committed_measurement_lost_nothing(database):
    result = json.loads(RESULTS.read_text())
    run, load = result[database], result["load"]
    assert run["answers"] == run["wanted"] == load["items"] * load["overlap"]
    assert (run["lost"], run["double"], run["items_with_other_than_overlap"]) == (0, 0, 0)
    assert run["audit_whole"] and run["kills"] == load["kills"] == 3
