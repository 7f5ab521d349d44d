"""The database behind the service: SQLite in one file, or PostgreSQL."""

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InvalidatePoolError,
    NoSuchModuleError,
)
from sqlalchemy.orm import Session

from fairlead.core.errors import ConfigError, ServiceError

Result = TypeVar("Result")

BUSY_MS = 10_000
"""How long SQLite waits for another process that writes."""
RESTED_S = 1.0
"""A connection that nobody used for so long is asked whether it lives, before it is used."""
ATTEMPTS = 20
"""How often a transaction is tried that another one got in the way of."""


class Store:
    """An open database; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        # Threads of one process queue here without polling. SQLite has one writer anyway; with
        # PostgreSQL, more threads than this would hold row locks while they wait for the
        # interpreter.
        self._turn = threading.BoundedSemaphore(1 if self.dialect == "sqlite" else 4)
        self._writer = engine.execution_options(immediate=True)

    @contextmanager
    def read(self) -> Generator[Session]:
        """A session that is rolled back at its end.

        On SQLite all of its statements see one state of the database, on PostgreSQL each sees what
        is committed by then.
        """
        with Session(self.engine, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Generator[Session]:
        """A transaction: all of the block is stored, or nothing of it."""
        with (
            self._turn,
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def transact(self, work: Callable[[Session], Result]) -> Result:
        """Runs `work` in a transaction, again where it collided with another one.

        Raises:
            ServiceError: it collided every time.
        """
        for attempt in range(ATTEMPTS):
            try:
                with self.write() as session:
                    return work(session)
            except DBAPIError as error:
                if not _collided(error):
                    raise
                time.sleep(0.002 * (attempt + 1))
        raise ServiceError(
            "the database is too busy",
            got=f"{ATTEMPTS} transactions in a row collided with others",
            remedy="try again in a moment",
        )

    def close(self) -> None:
        """Gives all connections back."""
        self.engine.dispose()


def connect(url: str) -> Store:
    """Opens a database without looking at its tables.

    Args:
        url: `sqlite:///labels.db`, a path to a file, or `postgresql://user@host/name`.

    Raises:
        ConfigError: no such kind of database, or its driver is not installed.
    """
    target = _address(url)
    if target.get_backend_name() == "sqlite":
        return Store(_sqlite(target))
    return Store(_postgresql(target))


def _address(url: str) -> URL:
    try:
        target = make_url(url if "://" in url else f"sqlite:///{url}")
    except ArgumentError as error:
        raise _unknown(url) from error
    if target.get_backend_name() not in ("sqlite", "postgresql"):
        raise _unknown(target.render_as_string(hide_password=True))
    if target.get_backend_name() == "sqlite" and target.database in (None, "", ":memory:"):
        raise ConfigError(
            "answers must be kept in a file",
            where="--db",
            expected="sqlite:///labels.db",
            got=url,
            remedy="name a file",
        )
    return target


def _unknown(url: str) -> ConfigError:
    return ConfigError(
        "not a database that can be opened",
        where="--db",
        expected="a file, sqlite:///FILE or postgresql://USER@HOST/NAME",
        got=url,
    )


def _sqlite(target: URL) -> Engine:
    _keep_private(Path(target.database or ""))
    engine = create_engine(
        target,
        connect_args={"timeout": BUSY_MS / 1000},
        pool_size=20,
        hide_parameters=True,  # Errors are logged; what people wrote is not.
    )

    # The recipe of SQLAlchemy's manual: the driver starts no transactions, we do.
    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    # A transaction that will write takes the lock at once: one that first reads and then writes
    # could find it taken, and waiting would not help.
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _keep_private(file: Path) -> None:
    """Makes a new file readable by its owner only; SQLite's own files beside it follow."""
    if file.is_file():
        return
    try:
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise ConfigError(
            "the database cannot be made",
            where=str(file),
            got=error.strerror or type(error).__name__,
            remedy="name a file in a folder that exists and can be written",
        ) from error


def _postgresql(target: URL) -> Engine:
    try:
        engine = create_engine(
            target.set(drivername="postgresql+psycopg"),
            pool_size=10,
            max_overflow=20,
            pool_use_lifo=True,
            hide_parameters=True,
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigError(
            "the driver for PostgreSQL is not installed",
            where="--db",
            got=str(error),
            remedy="pip install 'fairlead[feedback,postgres]'",
        ) from error
    _ask_rested(engine)
    return engine


def _ask_rested(engine: Engine) -> None:
    """Asks connections that rested whether they live; after a restart of the database all are new.

    Not those that were in use a moment ago: that would be a question more for every transaction.
    """

    @event.listens_for(engine, "checkin")
    def _rest(_connection: Any, record: Any) -> None:
        record.info["rests_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ask(connection: Any, record: Any, _proxy: Any) -> None:
        now = time.monotonic()
        if now - record.info.get("rests_since", now) < RESTED_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def _collided(error: DBAPIError) -> bool:
    """Whether the transaction met another one: deadlock, serialisation, a row made meanwhile."""
    state = getattr(error.orig, "sqlstate", None)
    return state in ("40001", "40P01", "55P03") or isinstance(error, IntegrityError)
