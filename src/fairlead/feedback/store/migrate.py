"""Brings a database to the version of this program, and refuses one from a later program."""

from importlib import resources

from sqlalchemy import Connection, inspect, text

from fairlead.core.errors import ConfigError
from fairlead.feedback.store.engine import Store

FOLDER = resources.files("fairlead.feedback.store") / "migrations"


def known_versions() -> list[str]:
    """Versions that this program knows, oldest first; files are named `0001_what.py`."""
    files = (FOLDER / "versions").iterdir()
    return sorted(file.name[:4] for file in files if file.name[:4].isdigit())


def migrate(store: Store, to: str | None = None) -> None:
    """Migrates to a version (default: the newest), in one transaction.

    Raises:
        ConfigError: the database was written by a later version of the program.
    """
    with store.write() as session:
        connection = session.connection()
        if connection.dialect.name == "postgresql":
            # Two servers that start together must not both migrate.
            connection.execute(text("SELECT pg_advisory_xact_lock(20610817)"))
        now = current(connection)
        target = to or known_versions()[-1]
        if now != target:
            _refuse_newer(now)
            _upgrade(connection, target)


def current(connection: Connection) -> str | None:
    """The version of a database; None for one without tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _refuse_newer(version: str | None) -> None:
    if version is None or version in known_versions():
        return
    raise ConfigError(
        "the database belongs to a later version of Fairlead",
        where="--db",
        expected=f"schema {known_versions()[-1]} or older",
        got=f"schema {version}",
        remedy="update Fairlead; the database was left as it is",
    )


def _upgrade(connection: Connection, target: str) -> None:
    # Imported here: a database that is up to date needs no Alembic, and the server starts sooner.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "fairlead.feedback.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, target)
