import gzip
import hashlib
from pathlib import Path

import pytest

from fairlead.core.errors import CheckpointError, DataError
from fairlead.core.files import (
    read_json,
    read_lines,
    sha256_file,
    sha256_json,
    whole_folder,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": "ünïcode"}
    write_json(tmp_path / "deep" / "x.json", value)
    assert read_json(tmp_path / "deep" / "x.json") == value
    assert "ünïcode" in (tmp_path / "deep" / "x.json").read_text()
    assert names(tmp_path / "deep") == ["x.json"]


def test_unreadable_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="file not found"):
        read_json(tmp_path / "x.json")
    write_text(tmp_path / "x.json", '{"a": ')
    with pytest.raises(DataError, match="not a JSON file") as refused:
        read_json(tmp_path / "x.json")
    assert refused.value.where == str(tmp_path / "x.json")


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError, match="cannot write x") as refused:
        write_text(tmp_path / "x", "text")
    assert "MiB free" in refused.value.got
    assert names(tmp_path) == ["x"]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out") as temporary:
        (temporary / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out"] and (tmp_path / "out" / "a").read_text() == "1"


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for content in ("a", "b"):
        with whole_folder(tmp_path / "out") as temporary:
            (temporary / content).write_text("1")
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["b"]


def write_and_raise(folder: Path, error: BaseException) -> None:
    with whole_folder(folder) as temporary:
        (temporary / "new").write_text("2")
        raise error


@pytest.mark.parametrize("error", [KeyError(), KeyboardInterrupt()])
def test_a_folder_left_in_the_middle_vanishes(tmp_path: Path, error: BaseException) -> None:
    write_text(tmp_path / "out" / "old", "1")
    with pytest.raises(type(error)):
        write_and_raise(tmp_path / "out", error)
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["old"]


def test_a_folder_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    write_text(tmp_path / "out" / "old", "1")
    with pytest.raises(CheckpointError, match="cannot write out") as refused:
        write_and_raise(tmp_path / "out", OSError(28, "No space left on device"))
    assert "free some space" in refused.value.remedy
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["old"]


@pytest.mark.parametrize("compressed", [False, True])
def test_lines_keep_their_numbers(tmp_path: Path, compressed: bool) -> None:
    text = "one\n\n  \ntwo ü\nthree".encode()
    file = tmp_path / ("x.jsonl.gz" if compressed else "x.jsonl")
    file.write_bytes(gzip.compress(text) if compressed else text)
    lines = [(number, line.strip()) for number, line in read_lines(file)]
    assert lines == [(1, "one"), (4, "two ü"), (5, "three")]


def test_hashes(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "abc")
    assert sha256_file(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
    assert sha256_json({"a": 1, "b": [2]}) == sha256_json({"b": [2], "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 2})
