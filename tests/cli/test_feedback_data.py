"""`fairlead feedback` import, stats, export, erase, purge and consent on a small campaign."""

import json
from datetime import UTC, datetime

import pytest

from fairlead.data.readers import read
from fairlead.feedback import answers, assignment, campaigns, shown_tasks
from fairlead.feedback.permissions import LOCAL, Actor
from fairlead.feedback.store import open_store
from fairlead.feedback.store.tables import Account, Annotator, Membership
from tiny_runs import fails, fairlead, json_of

NOW = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def db(tmp_path):
    """A store with a campaign of pairs and three annotators."""
    store = open_store(f"{tmp_path}/labels.db")
    project = campaigns.create_project(store, LOCAL, "tests", now=NOW)
    settings = {"work": {"kind": "pairwise"}, "overlap": 3}
    number = campaigns.create_campaign(store, LOCAL, project, "c", settings, now=NOW, seed=1)
    campaigns.set_campaign_state(store, LOCAL, number, "open", now=NOW)
    with store.write() as session:
        for name in ("ann", "bob", "cem"):
            account = Account(login=name, password_hash="", role="annotator", created_at=NOW)
            session.add(account)
            session.flush()
            session.add(Annotator(id=f"p-{name}", account_id=account.id, created_at=NOW))
            session.flush()
            session.add(Membership(project_id=project, annotator_id=f"p-{name}"))
    store.close()
    return f"{tmp_path}/labels.db"


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def labelled(db, tmp_path):
    """The same with four imported items that all three answered: two of them for `good`."""
    rows = [{"prompt": f"q{i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(4)]
    rows.insert(2, {"prompt": "q9", "chosen": 3, "rejected": "b"})
    file = write_rows(tmp_path / "rows.jsonl", rows)
    found = json_of("feedback", "import", file, "c", "--db", db)
    assert (found["added"], found["known"]) == (4, 0)
    assert [one["where"] for one in found["refused"]] == ["rows.jsonl#3"]
    store = open_store(db)
    for name in ("ann", "bob", "cem"):
        who = Actor(f"p-{name}", "annotator", frozenset({1}))
        while isinstance(task := assignment.claim(store, who, 1, now=NOW), shown_tasks.Task):
            word = "bad" if name == "cem" else "good"
            chosen = next(c.id for c in task.candidates if c.text.startswith(word))
            answers.submit(
                store,
                who,
                task.assignment,
                client_key=task.client_key,
                value={"preferred": chosen},
                reason=f"says {name}",
                now=NOW,
            )
    store.close()
    return db


def test_import_shows_what_was_refused(db, tmp_path):
    rows = [{"prompt": "mail a@b.example", "chosen": "x", "rejected": "y"}, {"prompt": "q"}]
    file = write_rows(tmp_path / "rows.jsonl", rows)
    result = fairlead("feedback", "import", file, "c", "--db", db)
    assert result.exit_code == 0, result.output
    assert "1 items added, 0 known already, 1 rows refused" in result.output
    assert "rows.jsonl#2: chosen" in result.output
    assert "email 1 (policy: report)" in result.output
    assert "expected: report, mask, refuse" in fails(
        "feedback", "import", file, "c", "--db", db, "--pii", "hide"
    )


def test_import_of_items_with_gold(db, tmp_path):
    item = {
        "external_id": "x",
        "messages": [{"role": "user", "content": "q"}],
        "candidates": [{"text": "a"}, {"text": "b"}],
        "role": "gold",
        "accepted": [{"preferred": 0}],
    }
    file = write_rows(tmp_path / "items.jsonl", [item, {**item, "external_id": ""}])
    found = json_of("feedback", "import", file, "c", "--db", db)
    assert (found["added"], len(found["refused"])) == (1, 1)


def test_stats(labelled):
    found = json_of("feedback", "stats", "c", "--db", labelled)
    assert (found["people"], found["items"], found["answers"]) == (3, 4, {"normal": 12})
    agreement = found["questions"][0]["quality"]["agreement"]
    percent = next(c for c in agreement["coefficients"] if c["name"] == "percent")
    assert percent["value"] == pytest.approx(1 / 3)
    result = fairlead("feedback", "stats", "tests/c", "--db", labelled)
    assert result.exit_code == 0, result.output
    assert "12 normal by 3 people to 4 items" in result.output
    assert "0.333" in result.output and "left chosen" in result.output
    assert "there is no such thing" in fails("feedback", "stats", "other", "--db", labelled)


def test_export_and_the_run_reads_it(labelled, tmp_path):
    found = json_of("feedback", "export", "c", tmp_path / "out", "--db", labelled)
    assert found["records"] == {"train": 4}
    records = read(tmp_path / "out/data", strict=True).records
    assert [r.preference for r in records] == pytest.approx([2 / 3] * 4)
    assert all(r.chosen.startswith("good") for r in records)
    fault = fails("feedback", "export", "c", tmp_path / "x", "--db", labelled, "--parts", "a=0.5")
    assert "shares" in fault
    fault = fails("feedback", "export", "c", tmp_path / "x", "--db", labelled, "--method", "best")
    assert "--method" in fault


def test_erase_lists_what_is_affected_and_rebuilds(labelled, tmp_path):
    json_of("feedback", "export", "c", tmp_path / "out", "--db", labelled)
    (tmp_path / "runs").mkdir()
    found = json_of(
        "feedback",
        "erase",
        "cem",
        "--db",
        labelled,
        "--withdraw",
        "--forget",
        "--rebuild",
        "--runs",
        tmp_path / "runs",
        "--yes",
    )
    assert [one["kind"] for one in found["erased"]] == ["withdraw", "forget"]
    assert found["erased"][0]["counts"]["answers"] == 4
    assert [one["answers"] for one in found["erased"][0]["exports"]] == [4]
    assert found["rebuilt"] == [f"rebuilt: {tmp_path / 'out'} (export 2)"]
    assert {r.preference for r in read(tmp_path / "out/data", strict=True).records} == {1.0}
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert not any(b"says cem" in p.read_bytes() for p in files)
    assert "there is no such thing" in fails(
        "feedback", "erase", "cem", "--db", labelled, "--forget", "--yes"
    )
    assert "say what to erase" in fails("feedback", "erase", "ann", "--db", labelled, "--yes")


def test_erase_asks_first(labelled):
    result = fairlead("feedback", "erase", "ann", "--db", labelled, "--withdraw")
    assert result.exit_code == 1 and "Aborted" in result.output
    found = json_of("feedback", "stats", "c", "--db", labelled)
    assert found["answers"] == {"normal": 12}


def test_purge(labelled, tmp_path):
    found = json_of("feedback", "purge", "--db", labelled, "--dry-run")
    assert found["dry_run"] and found["rows"]["drafts"] == 0
    config = tmp_path / "retention.yaml"
    config.write_text("retention: {reasons: 0}\n")
    found = json_of("feedback", "purge", "--db", labelled, "--config", config)
    assert found["rows"]["reasons"] == 24  # answers and their history
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert not any(b"says cem" in p.read_bytes() for p in files)
    config.write_text("retention: {answers: 0}\n")
    assert "--answers" in fails("feedback", "purge", "--db", labelled, "--config", config)


def test_consent_has_versions(db, tmp_path):
    assert "no consent text yet" in fairlead("feedback", "consent", "--db", db).output
    for number, words in ((1, "We keep your answers."), (2, "We keep them for a year.")):
        (tmp_path / "consent.txt").write_text(words)
        result = fairlead("feedback", "consent", "--db", db, "--text", tmp_path / "consent.txt")
        assert f"version {number}\n{words}" in result.output
