"""Where rows come from: files, folders, and data sets by name."""

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.core.errors import DataError
from fairlead.core.files import read_lines
from fairlead.data.readers.registry import BadRow, Row

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


@dataclass(frozen=True)
class Source:
    """One file or data set: its name and its numbered rows, each a mapping or why it is not."""

    name: str
    rows: Iterable[tuple[int, Row | BadRow]]


def open_sources(path_or_name: str, split: str | None) -> tuple[list[Source], tuple[Path, ...]]:
    """The sources behind a path or a data set name, and the files among them.

    Raises:
        DataError: nothing can be read there.
    """
    path = Path(path_or_name).expanduser()
    if path.exists():
        files = _files(path, split)
        return [Source(file.name, _rows(file)) for file in files], files
    if _looks_like_path(path_or_name):
        raise DataError(
            "file or folder not found",
            where=path_or_name,
            remedy="check the path for typing errors",
        )
    return [_named(path_or_name, split)], ()


def _looks_like_path(name: str) -> bool:
    return name.endswith(SUFFIXES) or name.startswith((".", "/", "~")) or name.count("/") > 1


def _files(path: Path, split: str | None) -> tuple[Path, ...]:
    if path.is_file():
        return (_readable(path, split),)
    files = sorted(f for f in path.iterdir() if f.is_file() and f.name.endswith(SUFFIXES))
    if split is not None:
        # `test` picks test.jsonl and test-00000-of-00001.parquet, but not test_other.jsonl.
        named = re.compile(rf"(^|[.-]){re.escape(split)}[.-]")
        files = [f for f in files if named.search(f.name)]
    if not files:
        raise DataError(
            "the folder has no file to read",
            where=str(path),
            expected="files named "
            + ", ".join(f"*{s}" for s in SUFFIXES)
            + (f" for the split {split}" if split else ""),
            got=", ".join(sorted(f.name for f in path.iterdir())[:8]) or "an empty folder",
            remedy="name the folder that holds the data files, or another split",
        )
    return tuple(files)


def _readable(path: Path, split: str | None) -> Path:
    if split is not None:
        raise DataError(
            "a single file has no splits",
            where=str(path),
            got=f"split={split}",
            remedy="leave out the split, or name the folder",
        )
    if not path.name.endswith(SUFFIXES):
        raise DataError(
            "unknown kind of file",
            where=str(path),
            expected="a file named " + ", ".join(f"*{s}" for s in SUFFIXES),
            remedy="convert the file to JSON Lines",
        )
    return path


def _rows(path: Path) -> Iterator[tuple[int, Row | BadRow]]:
    try:
        if path.name.endswith(".parquet"):
            yield from _parquet_rows(path)
        elif path.name.endswith((".json", ".json.gz")):
            yield from _json_rows(path)
        else:
            yield from ((number, _parse(line)) for number, line in read_lines(path))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(
            "the file cannot be read to its end",
            where=str(path),
            got=str(error),
            remedy="restore the file; text must be UTF-8",
        ) from error


def _parse(line: str) -> Row | BadRow:
    try:
        return _row(json.loads(line), _has_surrogates(line))
    except (ValueError, RecursionError) as error:
        return BadRow("(whole row)", "JSON", f"{str(error) or 'too deep'} in {line.strip()[:60]!r}")


def _row(value: Any, suspicious: bool = False) -> Row | BadRow:
    """The row, if it is an object and its text can be written as UTF-8 again.

    JSON escapes can spell half a surrogate pair, which no tokenizer or file takes.
    """
    if not isinstance(value, dict):
        return BadRow("(whole row)", "a JSON object", f"a {type(value).__name__}")
    if suspicious:
        for name, field in value.items():
            try:
                json.dumps(field, ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                return BadRow(name, "text that is valid Unicode", str(error))
    return value


def _has_surrogates(raw: str) -> bool:
    return "\\ud" in raw or "\\uD" in raw


def _json_rows(path: Path) -> Iterator[tuple[int, Row | BadRow]]:
    """A JSON list of rows, one object, or (as some hubs name it) JSON Lines."""
    raw = path.read_bytes()
    content = (gzip.decompress(raw) if path.name.endswith(".gz") else raw).decode("utf-8")
    try:
        value = json.loads(content)
    except ValueError:
        if content.lstrip().startswith("["):
            yield 1, _parse(content)
            return
        lines = enumerate(content.split("\n"), start=1)
        yield from ((number, _parse(line)) for number, line in lines if line.strip())
        return
    rows = value if isinstance(value, list) else [value]
    suspicious = _has_surrogates(content)
    yield from ((number, _row(row, suspicious)) for number, row in enumerate(rows, start=1))


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row | BadRow]]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        number = 0
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except ArrowInvalid as error:
        raise DataError(
            "not a Parquet file", where=str(path), got=str(error), remedy="restore the file"
        ) from error


def _named(name: str, split: str | None) -> Source:
    from datasets import load_dataset

    try:
        rows = load_dataset(name, split=split or "train")
    except Exception as error:  # the loader raises a dozen unrelated types
        raise DataError(
            "data set not found: no such file, and no data set of this name could be loaded",
            where=name,
            expected=f"a file, a folder, or a data set with a split {split or 'train'}",
            got=f"{type(error).__name__}: {error}".split("\n")[0],
            remedy="check the name and the split; without a network, give a local file or folder",
        ) from error
    numbered: Any = enumerate(rows, start=1)
    return Source(name, ((number, _row(row)) for number, row in numbered))
