"""Malformed rows, kinds of file, folders and names."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairlead.core.errors import ConfigError, DataError
from fairlead.data.readers import read
from fairlead.records import Comparison, Provenance

PAIR = {"prompt": "a", "chosen": "b", "rejected": "c"}


def write(path: Path, rows: Iterable[Any]) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


MALFORMED = [
    ('{"prompt": "a", "chosen": "b"', "(whole row)", "JSON"),
    ('["a"]', "(whole row)", "a JSON object"),
    ('{"prompt": "a", "chosen": "b"}', "rejected", "the field to be there"),
    (
        '{"prompt": "a", "chosen": 3, "rejected": "c"}',
        "chosen",
        "a string or one assistant message",
    ),
    ('{"prompt": 7, "chosen": "b", "rejected": "c"}', "prompt", "a string or a list of messages"),
    ('{"prompt": " ", "chosen": "b", "rejected": "c"}', "prompt", "a prompt with words"),
    ('{"prompt": [], "chosen": "b", "rejected": "c"}', "prompt", "a list with at least one entry"),
    (
        '{"prompt": [{"role": "wizard", "content": "a"}], "chosen": "b", "rejected": "c"}',
        "prompt[0].role",
        "one of system",
    ),
    (
        '{"prompt": [{"role": "assistant", "content": "a"}], "chosen": "b", "rejected": "c"}',
        "prompt",
        "a prompt that ends before the assistant speaks",
    ),
    (
        '{"prompt": "\\ud800", "chosen": "b", "rejected": "c"}',
        "prompt",
        "text that is valid Unicode",
    ),
]


@pytest.mark.parametrize(("line", "field", "expected"), MALFORMED)
def test_a_malformed_row_is_named_and_the_others_are_kept(line, field, expected, tmp_path):
    good = json.dumps(PAIR)
    path = write(tmp_path / "pairs.jsonl", [good, line, good])
    result = read(path)
    assert [r.prompt.provenance.row for r in result.records if isinstance(r, Comparison)] == [1, 3]
    (rejected,) = result.rejected
    assert (rejected.file, rejected.row, rejected.field) == ("pairs.jsonl", 2, field)
    assert rejected.expected.startswith(expected)
    with pytest.raises(DataError, match="malformed row") as caught:
        read(path, strict=True)
    assert caught.value.where == f"pairs.jsonl, row 2, field {field}"


def test_all_kinds_of_file_hold_the_same_records(tmp_path):
    rows = [{"prompt": f"p{i}", "completion": f"c{i}"} for i in range(3)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(text)
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write(text)
    (tmp_path / "c.json").write_text(json.dumps(rows, indent=1))
    (tmp_path / "d.json").write_text(text)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    (tmp_path / "README.md").write_text("not data")
    result = read(tmp_path)
    assert [f.name for f in result.files] == [
        "a.jsonl",
        "b.jsonl.gz",
        "c.json",
        "d.json",
        "e.parquet",
    ]
    found = [
        (r.prompt.provenance.source, r.prompt.provenance.row, r.response) for r in result.records
    ]
    assert found == [(f.name, i + 1, f"c{i}") for f in result.files for i in range(3)]


def test_a_folder_is_read_by_split(tmp_path):
    row = {"prompt": "a", "completion": "b"}
    for name in ("train.jsonl", "test-00000-of-00001.jsonl", "test_other.jsonl"):
        write(tmp_path / name, [row])
    assert [f.name for f in read(tmp_path, split="test").files] == ["test-00000-of-00001.jsonl"]
    with pytest.raises(DataError, match="no file to read"):
        read(tmp_path, split="validation")
    with pytest.raises(DataError, match="no splits"):
        read(tmp_path / "train.jsonl", split="train")


def test_unusable_inputs_are_refused_with_a_remedy(tmp_path):
    with pytest.raises(DataError, match="not found") as caught:
        read(tmp_path / "missing.jsonl")
    assert caught.value.remedy == "check the path for typing errors"
    with pytest.raises(DataError, match="no known format"):
        read(write(tmp_path / "empty.jsonl", []))
    with pytest.raises(DataError, match="no known format") as caught:
        read(write(tmp_path / "odd.jsonl", [{"colour": "red"}]))
    assert caught.value.got == "fields colour"
    with pytest.raises(DataError, match="no known format") as caught:
        read(write(tmp_path / "cut.json", ['[{"prompt": "a"']))
    assert "cut.json, row 1: field (whole row): expected JSON" in caught.value.got
    with pytest.raises(DataError, match="no usable record"):
        read(write(tmp_path / "bad.jsonl", [{"prompt": "", "completion": "b"}]))
    with pytest.raises(ConfigError, match="unknown data format"):
        read(tmp_path, "pairs")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="unknown kind of file"):
        read(tmp_path / "notes.txt")


def test_damaged_files_are_refused(tmp_path):
    whole = gzip.compress((json.dumps({"prompt": "a"}) + "\n").encode() * 999)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "latin.jsonl").write_bytes('{"prompt": "café"}\n'.encode("latin-1"))
    (tmp_path / "fake.parquet").write_bytes(b"not parquet")
    for name in ("cut.jsonl.gz", "latin.jsonl"):
        with pytest.raises(DataError, match="cannot be read to its end"):
            read(tmp_path / name)
    with pytest.raises(DataError, match="not a Parquet file"):
        read(tmp_path / "fake.parquet")


def test_a_folder_of_two_formats_asks_which(tmp_path):
    write(tmp_path / "a.jsonl", [{"prompt": "a"}])
    write(tmp_path / "b.jsonl", [{"prompt": "a", "completion": "b"}])
    with pytest.raises(DataError, match="mixes formats"):
        read(tmp_path)
    assert len(read(tmp_path, "prompts").records) == 2


def test_a_name_that_cannot_be_loaded_says_so(monkeypatch):
    import datasets

    def refuse(name: str, split: str) -> None:
        raise ConnectionError(f"no way to {name}, {split}")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(DataError, match="data set not found") as caught:
        read("someone/some-data", split="test")
    assert caught.value.got == "ConnectionError: no way to someone/some-data, test"


def test_a_named_data_set_reads_like_a_file(monkeypatch):
    import datasets

    rows = [{"prompt": "a", "completion": "b"}]
    monkeypatch.setattr(
        datasets, "load_dataset", lambda _name, split: datasets.Dataset.from_list(rows)
    )
    result = read("someone/some-data")
    assert result.files == ()
    assert result.records[0].prompt.provenance == Provenance(source="someone/some-data", row=1)


def test_json_lines_in_a_json_file_may_hold_unusual_line_breaks(tmp_path):
    row = {"prompt": "a\u2028b", "completion": "c"}
    path = tmp_path / "rows.json"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for _ in range(2)))
    assert [r.prompt.first_user_turn for r in read(path).records] == ["a\u2028b", "a\u2028b"]
