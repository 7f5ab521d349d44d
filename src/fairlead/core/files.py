"""Files that are either whole or absent, and the hashes that name them."""

import gzip
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fairlead.core.errors import CheckpointError, DataError


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically: readers see the old content or the new, never a part.

    Raises:
        DataError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True) if temporary else None
        raise cannot_write(path, error) from error


def write_text(path: Path, content: str) -> None:
    """Writes UTF-8 text atomically."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def whole_folder(path: Path) -> Generator[Path]:
    """Yields a temporary folder that becomes `path` when the block ends well, else vanishes.

    An existing folder of that name is replaced only after the new one is safely on disk.

    Raises:
        CheckpointError: something in the block could not be written; `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
        temporary.chmod(0o755)
        old = path.with_name(f".{path.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        cause = cannot_write(path, error)
        raise CheckpointError(
            cause.what, where=cause.where, got=cause.got, remedy=cause.remedy
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(file: Path) -> None:
    with open(file, "rb") as handle:
        os.fsync(handle.fileno())


def cannot_write(path: Path, error: OSError) -> DataError:
    """The error for a file that could not be written, with the room that is left."""
    existing = next(p for p in [path, *path.parents] if p.exists())
    free = shutil.disk_usage(existing).free / 2**20
    return DataError(
        f"cannot write {path.name}: {error.strerror or error}",
        where=str(path),
        got=f"{free:.0f} MiB free on that disk",
        remedy="free some space or choose another output folder, then run again with --resume; "
        "everything written before is intact",
    )


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        DataError: the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("file not found", where=str(path), remedy="check the path") from error
    except ValueError as error:
        raise DataError(
            "not a JSON file", where=str(path), got=str(error), remedy="restore or remove the file"
        ) from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (row number from 1, line) of a text file, plain or gzip, without blank lines."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a JSON value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
