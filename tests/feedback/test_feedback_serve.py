"""The server as a process, the client, and the commands beside it."""

import json
import signal
import stat

import pytest
from serving import Server, run
from small_campaigns import pair

from fairlead.core.errors import ConfigError, DataError, ServiceError
from fairlead.feedback import accounts, logins
from fairlead.feedback.answers import Receipt
from fairlead.feedback.assignment import Nothing
from fairlead.feedback.campaigns import CampaignSettings
from fairlead.feedback.client import Client
from fairlead.feedback.errors import InvalidAnswer, LoginFailed, Missing, Refused
from fairlead.feedback.http.visits import utc_now
from fairlead.feedback.permissions import Actor
from fairlead.feedback.store import open_store

PASSWORD = "correct horse battery"


def token_of(db, secret, login, scopes):
    """A token for somebody who accepts an invitation."""
    store = open_store(db)
    pseudonym = accounts.accept_invitation(store, secret, login, PASSWORD, now=utc_now())
    actor = logins.login(store, login, PASSWORD, now=utc_now()).actor
    assert isinstance(actor, Actor) and actor.pseudonym == pseudonym
    token = logins.create_token(store, actor, "test", frozenset(scopes), now=utc_now())
    store.close()
    return token


def test_a_first_start_and_a_campaign_without_torch(db_url, tmp_path):
    log = tmp_path / "access.log"
    server = Server(db_url, "--access-log", str(log))
    link = server.said[1]
    assert link.startswith(f"{server.address}/invite/")
    assert server.address.startswith("http://127.0.0.1:")
    owner = Client(
        server.address,
        token_of(db_url, link.rpartition("/")[2], "me", ("manage", "read", "label")),
    )
    with pytest.raises(LoginFailed):
        Client(server.address, "fl_wrong").projects()
    project = owner.create_project("first")
    settings = CampaignSettings.model_validate({"work": {"kind": "pairwise"}, "overlap": 1})
    campaign = owner.create_campaign(project, "one", settings, seed=1)
    assert owner.add_items(campaign, [pair(i) for i in range(3)]).added == 3
    assert owner.add_items(campaign, [pair(i) for i in range(4)]).known == 3
    assert owner.add_guideline(campaign, "Prefer the truth.").version == 1
    owner.set_campaign_state(campaign, "open")
    invitation = owner.invite(project=project)
    person = Client(
        server.address, token_of(db_url, invitation.rpartition("/")[2], "ann", ("label",))
    )
    task = person.claim(campaign)
    assert person.claim(campaign).client_key == task.client_key
    with pytest.raises(InvalidAnswer) as unfit:
        person.submit(task, {"preferred": 5})
    assert unfit.value.problems == (("preferred", "choose one of the two replies"),)
    assert person.save_draft(task.assignment, {"preferred": None}, 4) == 4
    assert person.task(task.assignment).draft.seq == 4
    assert person.heartbeat(task.assignment).live
    receipt = person.submit(task, {"preferred": task.candidates[0].id}, reason="shorter")
    assert receipt == Receipt(receipt.response, 1, "stored")
    assert person.submit(task, {"preferred": task.candidates[0].id}, reason="shorter") == Receipt(
        receipt.response, 1, "same"
    )
    assert [one.response for one in person.last_answers(campaign)] == [receipt.response]
    assert person.undo(receipt.response) == task.assignment
    number = person.flag(task.assignment, "other", note="look")
    person.skip(task.assignment, "unclear")
    for _ in range(3):
        person.submit(person.claim(campaign), {"preferred": None})
    assert isinstance(person.claim(campaign), Nothing)
    assert person.own_progress(campaign).done == 3
    assert owner.progress(campaign).counted == 3
    assert [flag.id for flag in owner.flags(campaign)] == [number]
    owner.resolve_flag(number)
    assert owner.flags(campaign) == []
    assert [item.external_id for item in owner.items(campaign)] == ["i0", "i1", "i2", "i3"]
    assert [one["name"] for one in person.campaigns()] == ["one"]
    with pytest.raises(Refused):
        person.set_campaign_state(campaign, "closed")
    with pytest.raises(Missing):
        owner.progress(99)
    with pytest.raises(DataError):
        person.skip(task.assignment, "no such reason")
    assert server.end() in (0, -signal.SIGTERM)
    text = log.read_text()
    assert "127.0.0.0 PUT /api/v1/assignments/{number}/answer 200" in text
    assert "shorter" not in text and "127.0.0.1" not in text
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    again = Server(db_url)
    assert again.said == [f"Serving on {again.address}; Ctrl-C ends it."]
    again.end(signal.SIGINT)


def test_a_client_without_a_server():
    client = Client("http://127.0.0.1:9", "fl_x", patience_s=0.3)
    with pytest.raises(ServiceError) as error:
        client.projects()
    assert error.value.what == "the feedback server does not answer"
    with pytest.raises(ConfigError):
        Client("labels.example.org", "fl_x")


# Commands; without torch, in processes of their own


def written_plan(folder, **more):
    items = [pair(i).model_dump(mode="json") for i in range(2)]
    (folder / "items.jsonl").write_text("\n".join(json.dumps(one) for one in items))
    (folder / "rules.md").write_text("Prefer the truth.")
    plan = {
        "project": "helpful",
        "campaign": "one",
        "settings": {"work": {"kind": "pairwise"}, "overlap": 2},
        "guideline_file": "rules.md",
        "items": "items.jsonl",
        **more,
    }
    file = folder / "plan.yaml"
    file.write_text(json.dumps(plan))  # JSON is YAML.
    return str(file)


def test_a_campaign_from_a_file_then_links_then_the_audit(tmp_path):
    db = str(tmp_path / "labels.db")
    plan = written_plan(tmp_path)
    first = run("new", plan, "--db", db)
    assert first.stdout == "campaign 1 (helpful/one), open: 2 items added, 0 known\n"
    again = json.loads(run("new", plan, "--db", db, "--json").stdout)
    assert again == {
        "campaign": 1,
        "state": "open",
        "guideline_version": 1,
        "added": 0,
        "known": 2,
    }
    links = run("invite", "--project", "helpful", "--count", "2", "--db", db).stdout.split()
    assert len(set(links)) == 2
    assert all(link.startswith("http://127.0.0.1:8000/invite/") for link in links)
    verdict = json.loads(run("verify", "--db", db, "--json").stdout)
    assert verdict["whole"] is True and verdict["entries"] == 8
    store = open_store(db)
    with store.write() as session:
        connection = session.connection()
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.exec_driver_sql("UPDATE audit SET actor = 'somebody' WHERE seq = 2")
    store.close()
    broken = run("verify", "--db", db)
    assert broken.returncode == 1
    assert broken.stdout.startswith("broken at entry 2: entry 2 was changed")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "nowhere.yaml"), "the file cannot be read"),
        (("verify", "--db", "nowhere.db"), "there is no such database"),
        (("invite", "--role", "king"), "no such role"),
        (("invite", "--project", "none"), "there is no such project"),
        (("serve", "--host", "0.0.0.0"), "must know its address"),
        (("serve", "--public-origin", "labels"), "this setting of the server cannot work"),
        (("serve", "--db", "mysql://x"), "not a database that can be opened"),
        (("serve", "--db", "no/such/folder/x.db"), "the database cannot be made"),
    ],
)
def test_errors_are_for_people(arguments, said, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"settings": {"work": {"kind": "dance"}}}, "the plan of a campaign does not fit"),
        ({"colour": "red"}, "colour"),
        ({"guideline": "also"}, "one guideline, please"),
        ({"items": "nowhere.jsonl"}, "the items cannot be read"),
        ({"settings": {"work": {"kind": "steps"}}}, "an item does not fit this work"),
    ],
)
def test_plans_that_cannot_be_carried_out(more, said, tmp_path):
    done = run("new", written_plan(tmp_path, **more), "--db", str(tmp_path / "x.db"))
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr
