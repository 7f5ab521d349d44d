import json
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_runs import fails, fairlead, json_of

COLUMNS = ("--item", "item", "--annotator", "who", "--label", "said")
# Two people, ten items: 6 times 1/1, once 1/2, once 2/1, twice 2/2; po 0.8, pe 0.58.
ANSWERS = [(1, 1)] * 6 + [(1, 2), (2, 1), (2, 2), (2, 2)]


def write(path: Path, answers=ANSWERS) -> Path:
    lines = ["item,who,said,gold"]
    for i, pair in enumerate(answers):
        lines += [f"i{i},p{p},{label},1" for p, label in enumerate(pair)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_plain_numbers_and_their_intervals(tmp_path):
    found = json_of("feedback", "agreement", write(tmp_path / "t.csv"), *COLUMNS, "--gold", "gold")
    assert found["percent"] == pytest.approx(0.8)
    # Both people say 1 seven times of ten: Cohen and Fleiss agree, (0.8 - 0.58) / 0.42.
    assert found["cohen_kappa"] == pytest.approx(0.22 / 0.42)
    assert found["fleiss_kappa"] == pytest.approx(0.22 / 0.42)
    # Observed 4 unequal values of 20; expected 2 * 14 * 6 / 19.
    alpha = 1 - 4 / (2 * 14 * 6 / 19)
    assert found["krippendorff_alpha"] == pytest.approx(alpha)
    assert found["krippendorff_alpha_interval"] == pytest.approx(alpha)
    assert found["gold_accuracy"] == pytest.approx(0.7)
    assert (found["items"], found["people"], found["answers"]) == (10, 2, 20)
    for estimate in found["estimates"]:
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
    assert found["undefined"] == {}
    assert [(p["first"], p["second"], p["shared"]) for p in found["pairs"]] == [("p0", "p1", 10)]


def test_undefined_is_null_with_a_reason(tmp_path):
    file = write(tmp_path / "t.csv", [(1, 1)] * 4)
    found = json_of("feedback", "agreement", file, *COLUMNS)
    assert found["percent"] == 1.0
    assert found["fleiss_kappa"] is found["krippendorff_alpha"] is found["cohen_kappa"] is None
    assert "all 8 labels are the same" in found["undefined"]["fleiss_kappa"]
    assert "NaN" not in json.dumps(found)
    assert "undefined: all 8 labels" in fairlead("feedback", "agreement", file, *COLUMNS).stdout


def test_tables_for_people(tmp_path):
    file = write(tmp_path / "t.csv")
    text = fairlead("feedback", "agreement", file, *COLUMNS, "--gold", "gold").stdout
    assert "percent agreement" in text and "0.800 [" in text
    assert "20 answers by 2 people to 10 items" in text and "p0, p1" in text


def test_words_in_a_given_order(tmp_path):
    file = tmp_path / "t.jsonl"
    said = [("bad", "bad"), ("bad", "fair"), ("good", "good"), ("good", "bad")]
    rows = [
        {"item": i, "who": p, "said": label}
        for i, pair in enumerate(said)
        for p, label in enumerate(pair)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "krippendorff_alpha_ordinal" not in json_of("feedback", "agreement", file, *COLUMNS)
    found = json_of("feedback", "agreement", file, *COLUMNS, "--order", "bad, fair, good")
    assert found["labels"] == ["bad", "fair", "good"]
    assert found["krippendorff_alpha_ordinal"] != found["krippendorff_alpha"]


def test_wrong_columns_are_named(tmp_path):
    error = fails("feedback", "agreement", write(tmp_path / "t.csv"), *COLUMNS[:-1], "vote")
    assert "no such column" in error and "got: vote" in error


def test_it_works_without_torch(tmp_path):
    # A finder, not None in sys.modules: scipy looks there to recognise tensors.
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'accelerate', 'peft'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from fairlead.cli.main import app\n"
        "app(sys.argv[1:])\n"
    )
    arguments = ["feedback", "agreement", str(write(tmp_path / "t.csv")), *COLUMNS, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["percent"] == pytest.approx(0.8)
