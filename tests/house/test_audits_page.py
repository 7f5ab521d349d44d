"""The page on audits names every audit and shows the committed self-test."""

import json

from benchmarks.audits import PAGE, RESULTS, filled

from fairlead.audits import AUDITS
from fairlead.audits.planted import CASES

REMEDY = "run `python -m benchmarks.audits --page`"
OTHERS = {"inspect_task", "inspect_logs", "lm_eval_task"}
"""Other projects ask and score there; their tests are in tests/interop."""


def test_page_shows_the_committed_results():
    text = PAGE.read_text()
    assert filled(text, json.loads(RESULTS.read_text())) == text, REMEDY


def test_every_audit_is_described():
    text = PAGE.read_text()
    assert [kind for kind in AUDITS if f"`{kind}`" not in text] == []


def test_every_audit_has_a_planted_defect():
    assert set(AUDITS) - {case.audit for case in CASES.values()} == OTHERS


def test_every_planted_defect_is_in_the_results_and_found():
    results = json.loads(RESULTS.read_text())
    assert [one["name"] for one in results["audits"]] == list(CASES)
    assert [one["name"] for one in results["audits"] if not one["proven"]] == []
    assert [one["name"] for one in results["coverage"] if not one["proven"]] == []
