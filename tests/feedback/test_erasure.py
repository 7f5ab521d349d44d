"""Forget me, withdraw my work: what goes, what stays, what is affected."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from answered_campaigns import answer_all, named
from small_campaigns import START, at, pair
from test_assignment_races import counters_match

from fairlead.core.errors import DataError
from fairlead.core.files import sha256_file, write_json
from fairlead.feedback import accounts, answers, assignment, logins, profiles
from fairlead.feedback.audit import verify_audit
from fairlead.feedback.campaign_items import NewItem
from fairlead.feedback.errors import AnswerConflict, Missing, Refused
from fairlead.feedback.exports.settings import ExportSettings
from fairlead.feedback.exports.write import export_campaign, list_exports, rebuild_export
from fairlead.feedback.permissions import LOCAL
from fairlead.feedback.privacy.erase import forget_me, pseudonym_of, wipe, withdraw_work
from fairlead.feedback.store.tables import (
    Account,
    Annotator,
    Assignment,
    Draft,
    Erasure,
    Flag,
    Item,
    LoginSession,
    Participation,
    Quality,
    Response,
    ResponseRevision,
)
from fairlead.lineage import make_inputs, make_manifest, write
from fairlead.records import Message

SECRET = "heliotrope"
"""A word that only the person who goes has written, at every place where one can write."""


def everything_written(store, world):
    """Two people work everywhere; the second writes the word wherever words go."""
    pairs = world.campaign([pair(i) for i in range(6)], overlap=2, name="pairs")
    item = NewItem(external_id="d", messages=(Message(role="user", content="q"),))
    demos = world.campaign([item], work={"kind": "demonstration"}, overlap=2, name="demos")
    stays, goes = world.people[:2]
    word = {0: "", 1: SECRET}
    answer_all(
        world,
        demos,
        lambda n, _: {"text": f"{word[n]} is a flower"},
        people=2,
    )
    for n, who in enumerate((stays, goes)):
        for k in range(3):
            task = world.claim(who, pairs, now=at(k))
            world.answer(who, task, {"preferred": named(task)["good"]}, at(k), reason=word[n])
        revised = {"preferred": named(task)["bad"]}
        world.answer(who, task, revised, at(4), reason=f"{word[n]} again")
    last = answers.last_answers(store, goes, pairs)[0].response
    answers.undo(store, goes, last, now=at(5))
    skipped = world.claim(goes, pairs, now=at(6), another=True)
    assignment.skip(store, goes, skipped.assignment, "other", note=SECRET, now=at(7))
    held = world.claim(goes, pairs, now=at(8), another=True)
    assignment.flag(store, goes, held.assignment, "other", note=SECRET, now=at(9))
    answers.save_draft(store, goes, held.assignment, {"reason": SECRET}, 1, now=at(9))
    with store.write() as session:
        session.add(
            Quality(annotator_id="p1", campaign_id=pairs, metric="gold", value=0.5, n=2, at=START)
        )
    return pairs, demos, stays, goes


def content_of(store):
    """Every value of every table, as one text."""
    with store.read() as session:
        names = sa.inspect(store.engine).get_table_names()
        rows = (session.execute(sa.text(f'SELECT * FROM "{name}"')).all() for name in names)
        return "\n".join(str(row) for table in rows for row in table)


def on_disk(store, tmp_path):
    """Bytes of the database as they lie on the disk, and of every file beside it."""
    if store.dialect == "sqlite":
        return b"".join(p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file())
    with store.engine.connect() as connection:
        names = [
            connection.execute(
                sa.text(
                    "SELECT pg_relation_filepath(c.oid), current_setting('data_directory')"
                    " FROM pg_class c WHERE relname = :name AND relnamespace ="
                    " current_schema()::regnamespace"
                ),
                {"name": name},
            ).one()
            for name in sa.inspect(store.engine).get_table_names()
        ]
        connection.exec_driver_sql("CHECKPOINT")
    files = [f"{folder}/{name}" for name, folder in names]
    found = b""
    for name in files:
        with open(name, "rb") as file:
            found += file.read()
    return found + b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_withdrawn_work_is_nowhere_and_the_chain_is_whole(world, store, tmp_path):
    pairs, demos, _, goes = everything_written(store, world)
    for number, name in ((pairs, "pairs"), (demos, "demos")):
        export_campaign(store, world.lead, number, tmp_path / name, now=at(20))
    assert SECRET in content_of(store)
    assert SECRET.encode() in on_disk(store, tmp_path)
    report = withdraw_work(store, goes, now=at(30))
    # One demonstration and three pairs, of which one was undone.
    assert report.counts["answers"] == 4
    assert report.counts["flags"] == 1 and report.counts["notes on skips"] == 1
    assert report.counts["tasks in hand"] == 2 and report.counts["drafts"] == 2
    assert report.counts["measurements"] == 1
    assert sorted((one.format, one.answers) for one in report.exports) == [
        ("demonstrations", 1),
        ("pairs", 2),
    ]
    for one in report.exports:
        rebuild_export(store, world.lead, one.export, now=at(40))
    wipe(store)
    assert SECRET not in content_of(store)
    assert SECRET.encode() not in on_disk(store, tmp_path)
    assert verify_audit(store).whole
    with store.read() as session:
        assert counters_match(session) == []
        part = session.get_one(Participation, (pairs, "p0"))
        assert part.done_n == 3
        mine = session.scalars(sa.select(Response).where(Response.annotator_id == "p1")).all()
        assert {one.state for one in mine} == {"withdrawn"}
        assert [one.kind for one in session.scalars(sa.select(Erasure))] == ["withdraw"]
    # The other person's words are still there.
    assert "is a flower" in content_of(store)
    rows = (tmp_path / "pairs/answers.jsonl").read_text().splitlines()
    assert len(rows) == 3 and all("again" in r or '"reason": ""' in r for r in rows)


def test_history_keeps_its_rows_and_nothing_in_them(world, store):
    everything_written(store, world)
    with store.read() as session:
        before = session.scalar(sa.select(sa.func.count()).select_from(ResponseRevision))
    withdraw_work(store, world.people[1], now=at(30))
    with store.read() as session:
        rows = session.scalars(
            sa.select(ResponseRevision).join(Response).where(Response.annotator_id == "p1")
        ).all()
        after = session.scalar(sa.select(sa.func.count()).select_from(ResponseRevision))
    assert after == before + 4
    assert {(r.value, r.shown, r.reason, r.active_ms, r.nonce) for r in rows} == {(None,) * 5}
    assert sum(r.cause == "withdraw" for r in rows) == 4


def test_places_are_handed_out_again_but_not_to_the_same_person(world, store):
    campaign = world.campaign([pair(i) for i in range(3)], overlap=1)
    who, other = world.people[:2]
    answer_all(world, campaign, lambda n, t: {"preferred": t.candidates[0].id}, people=1)
    task_of = assignment.task(store, who, 1)
    withdraw_work(store, who, now=at(9))
    with store.read() as session:
        items = session.execute(sa.select(Item.state, Item.done_n)).all()
    assert [tuple(one) for one in items] == [("open", 0)] * 3
    assert world.claim(who, campaign, now=at(10)).why == "empty"
    with pytest.raises(AnswerConflict):
        world.answer(who, task_of, {"preferred": task_of.candidates[0].id}, at(11))
    task = world.claim(other, campaign, now=at(12))
    assert world.answer(other, task, now=at(13)).status == "stored"


def test_withdrawing_twice_changes_nothing_more(world, store):
    _, _, _, goes = everything_written(store, world)
    withdraw_work(store, goes, now=at(30))
    again = withdraw_work(store, goes, now=at(31))
    assert set(again.counts.values()) == {0}
    with store.read() as session:
        assert counters_match(session) == []


def test_forgetting_cuts_the_person_off_and_keeps_the_work(store, tmp_path, world):
    secret = accounts.invite(store, LOCAL, "annotator", now=START, project=world.project)
    name = accounts.accept_invitation(
        store, secret, "heliotrope@x.org", "a long password", now=START
    )
    found = logins.login(store, "heliotrope@x.org", "a long password", now=START)
    who = found.actor
    profiles.set_profile(store, who, groups={"region": "north"}, now=START)
    logins.create_token(store, who, "laptop", frozenset({"label"}), now=START)
    campaign = world.campaign([pair(1), pair(2)], overlap=1)
    task = world.claim(who, campaign)
    world.answer(who, task, now=at(1), reason="since it is right", active_ms=1234)
    held = world.claim(who, campaign, now=at(2))
    answers.save_draft(store, who, held.assignment, {"reason": "hm"}, 1, now=at(3))
    assert pseudonym_of(store, LOCAL, "heliotrope@x.org") == name
    report = forget_me(store, LOCAL, name, now=at(10))
    wipe(store)
    assert report.counts["account"] == 1 and report.counts["tasks in hand"] == 1
    assert b"heliotrope" not in on_disk(store, tmp_path)
    with pytest.raises(Missing):
        pseudonym_of(store, LOCAL, "heliotrope@x.org")
    with store.read() as session:
        person = session.get_one(Annotator, name)
        assert (person.account_id, person.groups, person.state) == (None, {}, "forgotten")
        assert session.scalars(sa.select(LoginSession)).all() == []
        assert session.scalars(sa.select(Draft)).all() == []
        response = session.scalars(sa.select(Response)).one()
        assert (response.state, response.active_ms) == ("counted", None)
        assert response.reason == "since it is right"
        assert session.scalars(sa.select(ResponseRevision.nonce)).all() == [None]
        assert (
            session.scalars(sa.select(Account).where(Account.login.contains("helio"))).all() == []
        )
        assert counters_match(session) == []
    assert verify_audit(store).whole
    forget_me(store, LOCAL, name, texts=True, now=at(11))
    with store.read() as session:
        assert session.scalars(sa.select(Response.reason)).all() == [""]
        assert session.scalars(sa.select(Response.value)).one() is not None


def test_who_may_erase_whom(world, store):
    first, second = world.people[:2]
    with pytest.raises(Missing):
        withdraw_work(store, first, second.pseudonym, now=at(1))
    with pytest.raises((Refused, Missing)):
        forget_me(store, world.lead, second.pseudonym, now=at(1))
    with pytest.raises(Missing):
        withdraw_work(store, LOCAL, "nobody", now=at(1))
    with pytest.raises(DataError, match="no such folder"):
        withdraw_work(store, first, runs=[Path("/nowhere/at/all")], now=at(1))
    assert withdraw_work(store, first, now=at(1)).counts["answers"] == 0


def stage(run, name, files, *, inputs=(), stages=()):
    """A complete stage of a run with some files."""
    folder = run / "stages" / name
    found = make_inputs(run, files=inputs, stages=stages)
    for file, text in {"config.json": "{}", **files}.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    now = datetime(2026, 1, 6, tzinfo=UTC)
    write(folder, make_manifest(folder, inputs=found, device="cpu", seed=0, started=now, seconds=1))
    write_json(run / "run.json", {"name": run.name})


def test_models_are_found_through_hashes_within_and_across_runs(world, store, tmp_path):
    campaign = world.campaign([pair(1)], overlap=2)
    answer_all(world, campaign, lambda n, t: {"preferred": named(t)["good"]}, people=2)
    export_campaign(store, world.lead, campaign, tmp_path / "labels", now=at(5))
    runs = tmp_path / "runs"
    model = {"model/config.json": "{}", "model/weights": "reward"}
    one, two, three = runs / "one", runs / "two", runs / "three"
    stage(one, "data", {"train.jsonl": "x"}, inputs=[tmp_path / "labels/data"])
    stage(one, "reward", model, stages=["data"])
    stage(one, "apart", {"model/config.json": "{}", "model/weights": "other"})
    stage(two, "rl", {"model/config.json": "{}"}, inputs=[one / "stages/reward/model"])
    shutil.copy(tmp_path / "labels/data/train.jsonl", tmp_path / "copied.jsonl")
    stage(three, "dpo", {"model/config.json": "{}"}, inputs=[tmp_path / "copied.jsonl"])
    (three / "stages/begun").mkdir()
    report = withdraw_work(store, world.people[0], runs=[runs], now=at(9))
    found = [(s.run, s.stage) for s in report.affected.stages]
    assert found == [
        (str(one), "data"),
        (str(one), "reward"),
        (str(three), "dpo"),
        (str(two), "rl"),
    ]
    assert report.affected.models == (
        str(one / "stages/reward/model"),
        str(three / "stages/dpo/model"),
        str(two / "stages/rl/model"),
    )
    assert [line.partition(":")[0] for line in report.affected.unread] == [
        str(three / "stages/begun")
    ]
    (info,) = list_exports(store, world.lead, campaign)
    assert info.stale_at == at(9) and info.stale_why == "withdraw: p0"
    rebuilt = rebuild_export(store, world.lead, info.id, now=at(10))
    assert rebuilt.manifest["answers"] == 1
    old = tmp_path / "copied.jsonl"
    assert sha256_file(old) == report.exports[0].hashes["data/train.jsonl"]


def test_an_export_that_another_made_anew_is_still_named(world, store, tmp_path):
    """A model may have been trained on the files that were there before."""
    campaign = world.campaign([pair(1)])
    answer_all(world, campaign, lambda n, t: {"preferred": named(t)["good"]}, people=1)
    settings = (ExportSettings(), ExportSettings(format="kto"))
    made = [
        export_campaign(store, world.lead, campaign, tmp_path / "x", one, now=at(5))
        for one in settings
    ]
    report = withdraw_work(store, world.people[0], now=at(9))
    assert [one.export for one in report.exports] == [one.id for one in made]
    with store.read() as session:
        affected = session.scalars(sa.select(Erasure.affected)).one()
    assert [one["export"] for one in affected] == [one.id for one in made]
    assert SECRET not in json.dumps(affected)
    with store.read() as session:
        assert session.scalars(sa.select(Flag)).all() == []
        assert set(session.scalars(sa.select(Assignment.state))) == {"revoked"}
