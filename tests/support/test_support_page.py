import json
from pathlib import Path

from fairlead.pipeline.docs import support
from fairlead.pipeline.methods import methods

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_page_is_made_of_the_committed_results(tmp_path: Path):
    support.main(DOCS / "support.json", tmp_path / "support.md")
    remedy = "run `make support`"
    assert (DOCS / "support.md").read_text() == (tmp_path / "support.md").read_text(), remedy


def test_only_what_passed_is_a_yes():
    text = support.page([["dpo", "lora", "gpu", "two processes"]])
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    assert len(rows) == len(methods()) and text.count("| yes |") == 1
    (dpo,) = [row for row in rows if row.startswith("| [`dpo`]")]
    place = support.COLUMNS.index(("lora", "gpu", "two processes"))
    assert dpo.strip("| ").split(" | ")[1 + place] == "yes"


def test_results_name_known_methods():
    rows = json.loads((DOCS / "support.json").read_text())
    assert {row[0] for row in rows} <= {method.kind for method in methods()}
    assert {tuple(row[1:]) for row in rows} <= set(support.COLUMNS)
