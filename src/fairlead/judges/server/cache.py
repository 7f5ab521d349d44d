"""Answers that were paid for, on disk by the hash of their request, and every attempt to get one.

SQLite and not a file of lines: answers are looked up without holding all of them in memory, two
runs may share a file, and a line half written by a killed process cannot exist. An answer is on the
disk before anybody sees it. Attempts need less: they survive the death of the process, not of the
machine.
"""

import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fairlead.core.errors import DataError
from fairlead.core.files import cannot_write

VERSION = 1
WAIT_S = 60.0
"""Seconds to wait for another process that is writing."""
TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, body BLOB NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, at REAL NOT NULL, outcome TEXT NOT NULL DEFAULT '',
    prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS attempts_of_key ON attempts (key);
"""
ANSWERED = "answered"


class Paid(NamedTuple):
    """Tokens that were paid for."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, prompt_tokens: int, completion_tokens: int) -> "Paid":
        """With more tokens."""
        return Paid(self.prompt_tokens + prompt_tokens, self.completion_tokens + completion_tokens)


class AnswerCache:
    """Bodies of answers by the key of their request.

    Args:
        path: the file; None for one that goes when the process ends.

    Raises:
        DataError: the file is something else, or cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        with self._reported():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            # An empty name is a database in a temporary file, which memory does not have to hold.
            self._connection = sqlite3.connect(
                path or "", timeout=WAIT_S, isolation_level=None, check_same_thread=False
            )
            self._begin()

    def _begin(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise self._foreign(f"version {version}")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(TABLES)
        self._connection.execute(f"PRAGMA user_version = {VERSION}")

    def body(self, key: str) -> str | None:
        """The answer to a request; None where there is none yet."""
        with self._reported():
            row = self._connection.execute(
                "SELECT body FROM answers WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else zlib.decompress(row[0]).decode()

    def paid(self, key: str) -> Paid:
        """What all attempts at a request cost."""
        asked = "SELECT sum(prompt_tokens), sum(completion_tokens) FROM attempts WHERE key = ?"
        with self._reported():
            prompt_tokens, completion_tokens = self._connection.execute(asked, (key,)).fetchone()
        return Paid(prompt_tokens or 0, completion_tokens or 0)

    def begin(self, key: str) -> int:
        """Notes an attempt before it is made; one without an outcome was never answered to us."""
        with self._reported(), self._flushed("NORMAL"):
            made = self._connection.execute(
                "INSERT INTO attempts (key, at) VALUES (?, ?)", (key, time.time())
            )
        assert made.lastrowid is not None
        return made.lastrowid

    def end(self, attempt: int, outcome: str, tokens: tuple[int, int] = (0, 0)) -> None:
        """Notes what became of an attempt."""
        with self._reported(), self._flushed("NORMAL"):
            self._end(attempt, outcome, tokens)

    def keep(self, key: str, attempt: int, body: str, tokens: tuple[int, int]) -> None:
        """Stores an answer for good, and that the attempt brought it."""
        kept = (key, zlib.compress(body.encode()), time.time())
        with self._reported(), self._flushed("FULL"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", kept)
                self._end(attempt, ANSWERED, tokens)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def keep_all(self, bodies: Mapping[str, str]) -> None:
        """Stores answers that nobody was paid for, together."""
        now = time.time()
        rows = [(key, zlib.compress(body.encode()), now) for key, body in bodies.items()]
        with self._reported(), self._flushed("NORMAL"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", rows)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _end(self, attempt: int, outcome: str, tokens: tuple[int, int]) -> None:
        self._connection.execute(
            "UPDATE attempts SET outcome = ?, prompt_tokens = ?, completion_tokens = ? "
            "WHERE id = ?",
            (outcome, *tokens, attempt),
        )

    @contextmanager
    def _flushed(self, how: str) -> Iterator[None]:
        """Whether what is written is to survive the machine ("FULL") or the process ("NORMAL")."""
        self._connection.execute(f"PRAGMA synchronous = {how}")
        yield

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            raise cannot_write(self.path or Path("cache"), OSError(str(error))) from error
        except sqlite3.DatabaseError as error:
            raise self._foreign(str(error)) from error

    def _foreign(self, got: str) -> DataError:
        return DataError(
            "not a cache of answers of this version",
            where=str(self.path),
            got=got,
            remedy="name another file, or remove this one and pay for its answers again",
        )
