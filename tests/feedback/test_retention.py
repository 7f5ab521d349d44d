import pytest
import sqlalchemy as sa
from small_campaigns import START, at, pair

from fairlead.feedback import accounts, answers, assignment, campaign_items, logins
from fairlead.feedback.audit import verify_audit
from fairlead.feedback.errors import Refused
from fairlead.feedback.permissions import LOCAL
from fairlead.feedback.privacy.retention import Retention, purge
from fairlead.feedback.store.tables import (
    Assignment,
    Draft,
    Flag,
    Invitation,
    LoginSession,
    Response,
    ResponseRevision,
)

DAY = 86_400


@pytest.fixture
def used(world, store):
    """A store in which everything that is kept for a time was written on the first day."""
    secret = accounts.invite(store, LOCAL, "annotator", now=START, project=world.project)
    accounts.accept_invitation(store, secret, "someone", "a long password", now=START)
    logins.login(store, "someone", "a long password", now=START)
    campaign = world.campaign([pair(i) for i in range(3)])
    who = world.people[0]
    task = world.claim(who, campaign)
    world.answer(who, task, now=START, reason="why", active_ms=900)
    task = world.claim(who, campaign)
    number = assignment.flag(store, who, task.assignment, "other", note="look", now=START)
    campaign_items.resolve_flag(store, world.lead, number, now=START)
    assignment.skip(store, who, task.assignment, "other", note="no idea", now=START)
    task = world.claim(who, campaign)
    answers.save_draft(store, who, task.assignment, {"reason": "hm"}, 1, now=START)
    return world


def purged(store, days, **more):
    return purge(store, LOCAL, now=at(days * DAY), **more).rows


def test_nothing_goes_before_its_time(used, store):
    assert set(purged(store, 6).values()) == {0}


def test_a_dry_run_says_what_would_go_and_does_nothing(used, store):
    found = purge(store, LOCAL, dry_run=True, now=at(400 * DAY))
    expected = {
        "sessions": 1,
        "invitations": 1,
        "drafts": 1,
        "flags": 1,
        "skips": 1,
        "times": 2,
        "api_tokens": 0,
        "messages": 0,
        "measurements": 0,
    }
    assert (found.dry_run, found.rows) == (True, expected)
    assert purged(store, 400) == expected
    assert set(purged(store, 400).values()) == {0}


def test_what_is_old_goes_and_answers_stay(used, store):
    purged(store, 31)
    with store.read() as session:
        for table in (Draft, LoginSession, Invitation):
            assert session.scalars(sa.select(table)).all() == []
        assert session.scalars(sa.select(Flag.note)).all() == ["look"]
    purged(store, 366)
    with store.read() as session:
        assert session.scalars(sa.select(Flag.note)).all() == [""]
        assert set(session.scalars(sa.select(Assignment.skip_note))) == {""}
        answer = session.scalars(sa.select(Response)).one()
        assert (answer.active_ms, answer.reason, answer.state) == (None, "why", "counted")
        assert answer.value is not None
        assert session.scalars(sa.select(ResponseRevision.reason)).all() == [None]
    assert verify_audit(store).whole


def test_limits_are_settings(used, store):
    keep = Retention(drafts=None, reasons=10, sessions=None)
    rows = purged(store, 31, retention=keep)
    assert "drafts" not in rows and "sessions" not in rows
    assert rows["reasons"] == 2
    with store.read() as session:
        assert session.scalars(sa.select(Response.reason)).all() == [""]
        assert len(session.scalars(sa.select(Draft)).all()) == 1


def test_only_owners_purge(used, store):
    with pytest.raises(Refused):
        purge(store, used.lead, now=START)
