import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from fairlead.data.inspect import Inspection, inspect, render
from fairlead.data.readers import read

DATA = Path(__file__).parents[2] / "../shared/data"
ROWS = [
    {"prompt": "one two", "chosen": "long answer", "rejected": "short", "subset": "[red]"},
    {"prompt": "one two", "chosen": "no", "rejected": "longer"},
    {"prompt": "one two", "chosen": "no", "rejected": "longer"},
    {"prompt": "three", "chosen": "same", "rejected": "same"},
    {"prompt": "three", "chosen": "", "rejected": "b", "tie": True},
    {"prompt": "", "chosen": "a", "rejected": "b"},
    {"prompt": " ", "chosen": "a", "rejected": "b"},
    {"prompt": "x"},
]


@pytest.fixture
def inspection(tmp_path: Path) -> Inspection:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return inspect(read(path))


def test_counts(inspection):
    assert (inspection.format, inspection.records, inspection.rejected_rows) == ("preference", 5, 3)
    assert inspection.kinds == {"Comparison": 5}
    assert [(r.field, r.count) for r in inspection.rejections] == [("prompt", 2), ("chosen", 1)]
    assert [row.row for row in inspection.rejections[0].examples] == [6, 7]
    faults = (inspection.duplicates, inspection.identical_pairs, inspection.empty_answers)
    assert faults == (1, 1, 1)
    assert (inspection.ties, inspection.leaks) == (1, 0)
    assert inspection.turns == {1: 5}
    assert inspection.subsets == {"[red]": 1}


def test_lengths(inspection):
    assert inspection.chosen_longer == 0.25
    assert inspection.chosen_longer_estimate.n == 2
    prompts = inspection.lengths["prompts"]
    assert (prompts.characters.median, prompts.characters.max, prompts.words.median) == (7, 7, 2)
    assert inspection.lengths["rejected"].characters.median == 5.5
    assert inspection.lengths["responses"].characters.max == 1


def test_json_and_back(inspection):
    text = inspection.model_dump_json()
    assert Inspection.model_validate_json(text) == inspection
    found = json.loads(text)
    keys = ("records", "rejected_rows", "duplicates", "chosen_longer")
    assert [found[key] for key in keys] == [5, 3, 1, 0.25]


def test_rendering_shows_data_as_it_is(inspection):
    out = StringIO()
    Console(file=out, width=160).print(render(inspection))
    text = out.getvalue()
    for words in ("format: preference", "[red]", "pairs.jsonl, row 6", "chosen is the longer"):
        assert words in text


@pytest.mark.skipif(not DATA.exists(), reason="the folder of real data is not here")
def test_hh():
    found = inspect(read(DATA / "hh-rlhf"))
    assert (found.records, found.rejected_rows, found.duplicates, found.empty_answers) == (
        1420,
        0,
        0,
        1,
    )
    assert found.chosen_longer == pytest.approx(0.458, abs=5e-4)
    estimate = found.chosen_longer_estimate
    assert estimate.low < 0.458 < estimate.high < 0.5
    assert sum(found.turns.values()) == 1420


@pytest.mark.skipif(not DATA.exists(), reason="the folder of real data is not here")
def test_data_without_pairs_has_no_longer_side():
    found = inspect(read(DATA / "gsm8k/test.part-A.jsonl.gz"))
    assert found.chosen_longer is None
    assert set(found.lengths) == {"prompts", "responses"}
