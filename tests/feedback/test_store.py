"""Tables, migrations, transactions and the audit chain, on both databases."""

import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from small_campaigns import START, at

from fairlead.core.errors import ConfigError
from fairlead.feedback import audit
from fairlead.feedback.store import connect, migrate, open_store
from fairlead.feedback.store.engine import RESTED_S
from fairlead.feedback.store.migrate import current, known_versions
from fairlead.feedback.store.tables import Account, Audit, AuditHead, Project, Table


def version(store):
    with store.read() as session:
        return current(session.connection())


def differences(store):
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, Table.metadata)


def test_the_migrated_schema_is_that_of_the_models(store):
    assert differences(store) == []
    assert version(store) == known_versions()[-1]


def test_an_older_database_is_brought_up_to_date_with_its_rows(db_url):
    old = connect(db_url)
    migrate(old, to="0001")
    with old.write() as session:
        session.add(Project(name="kept", created_at=START))
    assert version(old) == "0001"
    old.close()

    new = open_store(db_url)
    assert version(new) == known_versions()[-1]
    with new.read() as session:
        assert session.scalars(sa.select(Project.name)).all() == ["kept"]
        assert session.get_one(AuditHead, 1).seq == 0
    new.close()


def test_a_database_of_a_later_version_is_refused_untouched(db_url):
    store = open_store(db_url)
    with store.write() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(ConfigError, match="later version") as error:
        open_store(db_url)
    assert error.value.got == "schema 9999"
    again = connect(db_url)
    assert version(again) == "9999"
    again.close()


def test_two_servers_that_start_together_migrate_once(db_url):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: open_store(db_url), range(4)))
    assert differences(stores[0]) == []
    for one in stores:
        one.close()


def test_sqlite_is_set_up_for_many_writers(tmp_path):
    store = open_store(str(tmp_path / "labels.db"))
    with store.read() as session:
        pragmas = {
            name: session.execute(sa.text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 10_000,
    }
    # A writing transaction holds the lock from its start, before it has written anything.
    with store.write() as session:
        session.execute(sa.select(Project)).all()
        other = sqlite3.connect(tmp_path / "labels.db", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
    store.close()


@pytest.mark.parametrize(
    "url", ["mysql://host/x", "sqlite://", "sqlite:///:memory:", "postgres//x://", "://"]
)
def test_what_cannot_be_opened_is_named(url):
    with pytest.raises(ConfigError):
        connect(url)


def test_a_failed_transaction_leaves_nothing(store):

    def fail(session):
        session.add(Project(name="half", created_at=START))
        session.flush()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.transact(fail)
    with store.read() as session:
        assert session.scalars(sa.select(Project)).all() == []


def test_a_collision_is_tried_again(store):
    with store.write() as session:
        session.add(Project(name="taken", created_at=START))
    names = iter(["taken", "taken", "free"])

    def work(session):
        name = next(names)
        session.add(Project(name=name, created_at=START))
        session.flush()
        return name

    assert store.transact(work) == "free"


@pytest.mark.parametrize("db_url", ["postgresql"], indirect=True)
def test_connections_that_died_while_they_rested_are_replaced(store):
    with store.read() as session, store.read() as other:
        pids = [one.scalar(sa.text("SELECT pg_backend_pid()")) for one in (session, other)]
    killer = sa.create_engine(store.engine.url, isolation_level="AUTOCOMMIT")
    with killer.connect() as connection:
        for pid in pids:
            connection.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    killer.dispose()
    time.sleep(RESTED_S + 0.1)
    with store.read() as session, store.read() as other:
        assert [one.scalar(sa.select(1)) for one in (session, other)] == [1, 1]


def test_moments_keep_their_instant_whatever_the_zone(store):
    from datetime import UTC, datetime, timedelta, timezone

    there = datetime(2026, 3, 1, 1, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5.5)))
    with store.write() as session:
        session.add(Project(name="p", created_at=there))
    with store.read() as session:
        read = session.scalars(sa.select(Project.created_at)).one()
    assert read == there
    assert read.tzinfo == UTC
    with pytest.raises(sa.exc.StatementError, match="time zone"), store.write() as session:
        session.add(Project(name="q", created_at=datetime(2026, 1, 1)))


def test_only_one_table_knows_who_somebody_is():
    identity = {"login", "password_hash", "email", "name", "ip", "address", "phone"}
    found = {
        (table.name, column.name)
        for table in Table.metadata.sorted_tables
        for column in table.columns
        if column.name in identity
    }
    assert found == {
        ("account", "login"),
        ("account", "password_hash"),
        ("project", "name"),
        ("campaign", "name"),
        ("api_token", "name"),  # of a program
    }
    assert Account.__tablename__ == "account"


# Audit


def chain(store, n=6):
    for i in range(n):
        with store.write() as session:
            audit.record(session, at(i), "p1", "submit", f"response:{i}", {"i": i})


def drop_guards(session, dialect):
    if dialect == "sqlite":
        session.execute(sa.text("DROP TRIGGER audit_no_update"))
        session.execute(sa.text("DROP TRIGGER audit_no_delete"))
    else:
        session.execute(sa.text("DROP TRIGGER audit_no_change ON audit"))


def test_the_chain_verifies(store):
    assert audit.verify_audit(store) == audit.Verdict(0)
    chain(store)
    assert audit.verify_audit(store) == audit.Verdict(6)
    with store.read() as session:
        links = session.scalars(sa.select(Audit).order_by(Audit.seq)).all()
    assert [one.seq for one in links] == [1, 2, 3, 4, 5, 6]
    assert [one.prev for one in links] == [audit.START, *(one.hash for one in links[:-1])]


@pytest.mark.parametrize(
    ("tamper", "broken_at", "why"),
    [
        ("UPDATE audit SET actor = 'p2' WHERE seq = 3", 3, "changed"),
        ("UPDATE audit SET payload_sha256 = 'x' WHERE seq = 1", 1, "changed"),
        ("UPDATE audit SET at = '2020-01-01 00:00:00' WHERE seq = 5", 5, "changed"),
        ("DELETE FROM audit WHERE seq = 4", 4, "missing"),
        ("DELETE FROM audit WHERE seq = 1", 1, "missing"),
        ("DELETE FROM audit WHERE seq > 4", 5, "ends at entry 4"),
        ("UPDATE audit SET hash = 'x' WHERE seq = 2", 2, "changed"),
        ("UPDATE audit SET prev = 'x' WHERE seq = 2", 2, "does not point"),
    ],
)
def test_tampering_is_found_where_it_happened(store, tamper, broken_at, why):
    chain(store)
    with store.write() as session:
        drop_guards(session, store.dialect)
        session.execute(sa.text(tamper))
    verdict = audit.verify_audit(store)
    assert verdict.broken_at == broken_at
    assert why in verdict.why
    assert not verdict.whole


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET actor = 'p2'", "DELETE FROM audit", "DELETE FROM audit WHERE seq=1"],
)
def test_the_database_itself_refuses_to_change_the_audit(store, statement):
    chain(store, 2)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.write() as session:
        session.execute(sa.text(statement))
    assert audit.verify_audit(store) == audit.Verdict(2)


def test_many_writers_make_one_chain(store):
    def add(i):
        store.transact(lambda s: audit.record(s, at(i), f"p{i}", "test", f"thing:{i}"))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(add, range(60)))
    assert audit.verify_audit(store) == audit.Verdict(60)


def test_nothing_here_loads_torch_or_scipy():
    modules = "accounts answers assignment audit campaigns ordering permissions progress store work"
    names = ", ".join(f"fairlead.feedback.{name}" for name in modules.split())
    heavy = "{'torch', 'transformers', 'scipy', 'pandas', 'alembic'}"
    code = f"import sys; import {names}; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
