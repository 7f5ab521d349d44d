"""Who may do what; accounts, sessions, tokens; campaigns and items."""

import hashlib
import itertools
from datetime import timedelta

import argon2
import pytest
import sqlalchemy as sa
from small_campaigns import START, at, pair

from fairlead.core.errors import ConfigError, DataError
from fairlead.feedback import (
    accounts,
    answers,
    assignment,
    campaign_items,
    campaigns,
    logins,
    profiles,
    progress,
)
from fairlead.feedback.errors import Conflict, LoginFailed, Missing, Refused
from fairlead.feedback.permissions import LOCAL, Actor, Thing, may, require
from fairlead.feedback.store.tables import (
    Account,
    ApiToken,
    Candidate,
    Gold,
    Invitation,
    Item,
    LoginSession,
    Response,
    ResponseRevision,
)

# Permissions

OWN = Thing(project=1, owner="me", name="assignment 1")
OTHERS = Thing(project=1, owner="you", name="assignment 2")
HERE = Thing(project=1, name="project 1")
THERE = Thing(project=2, name="project 2")
SERVER = Thing()

# action: (thing, roles that may). A member belongs to project 1 only.
TABLE = {
    "work": [(HERE, "OLA"), (THERE, "O"), (OWN, "OLA"), (OTHERS, "")],
    "see_own": [(OWN, "OLA"), (OTHERS, ""), (HERE, "")],
    "erase_own": [(OWN, "OLA"), (OTHERS, "")],
    "see_project": [(HERE, "OLA"), (THERE, "O")],
    "see_answers": [(HERE, "OL"), (THERE, "O")],
    "manage": [(HERE, "OL"), (THERE, "O")],
    "invite": [(HERE, "OL"), (THERE, "O")],
    "export": [(HERE, "OL"), (THERE, "O")],
    "see_identity": [(SERVER, "O"), (HERE, "O")],
    "erase_others": [(SERVER, "O"), (HERE, "O")],
    "administer": [(SERVER, "O"), (HERE, "O")],
}
ROLES = {"O": "owner", "L": "lead", "A": "annotator"}


@pytest.mark.parametrize(
    ("action", "thing", "allowed"),
    [(action, thing, allowed) for action, rows in TABLE.items() for thing, allowed in rows],
)
def test_every_role_and_action(action, thing, allowed):
    for letter, role in ROLES.items():
        actor = Actor("me", role, frozenset({1}))
        assert may(actor, action, thing) is (letter in allowed), role
    stranger = Actor("me", "annotator")
    assert may(stranger, action, HERE) is False


@pytest.mark.parametrize(
    ("scopes", "actions"),
    [
        ({"label"}, {"work", "see_own", "erase_own", "see_project"}),
        ({"read"}, {"see_project", "see_answers"}),
        ({"manage"}, {"manage", "invite", "erase_others", "administer"}),
        ({"export"}, {"export"}),
        ({"identity"}, {"see_identity"}),
        (set(), set()),
    ],
)
def test_a_token_does_what_it_is_for_and_no_more(scopes, actions):
    owner = Actor("me", "owner", scopes=frozenset(scopes))
    assert {one for one in TABLE if may(owner, one, OWN)} == actions


def test_what_one_may_not_know_of_is_missing_and_the_rest_refused():
    annotator = Actor("me", "annotator", frozenset({1}))
    with pytest.raises(Missing):
        require(annotator, "manage", THERE)
    with pytest.raises(Missing):
        require(annotator, "work", OTHERS)
    with pytest.raises(Refused, match="not allowed"):
        require(annotator, "manage", HERE)


def test_each_function_asks(world, store):
    """Annotators and strangers get nowhere near what leads do; leads nowhere near owners."""
    campaign = world.campaign([pair(1)])
    who, lead = world.people[0], world.lead
    stranger = world.person("x", member=False)
    other_lead = world.person("y", "lead", member=False)
    settings = {"work": {"kind": "binary"}}
    lead_only = [
        lambda a: campaigns.create_campaign(store, a, world.project, "n", settings, now=START),
        lambda a: campaigns.set_campaign_state(store, a, campaign, "closed", now=START),
        lambda a: campaigns.change_campaign(store, a, campaign, settings, now=START),
        lambda a: campaigns.add_guideline(store, a, campaign, "x", now=START),
        lambda a: campaign_items.add_items(store, a, campaign, [], now=START),
        lambda a: campaign_items.list_items(store, a, campaign),
        lambda a: campaign_items.set_priority(store, a, campaign, [1], 1, now=START),
        lambda a: campaign_items.reopen_item(store, a, 1, now=START),
        lambda a: campaign_items.list_flags(store, a, campaign),
        lambda a: campaigns.set_participation(store, a, campaign, "p0", "paused", now=START),
        lambda a: progress.campaign_progress(store, a, campaign),
        lambda a: progress.people_progress(store, a, campaign),
        lambda a: accounts.invite(store, a, "annotator", project=world.project, now=START),
        lambda a: accounts.add_member(store, a, world.project, "p1", now=START),
        lambda a: accounts.remove_member(store, a, world.project, "p1", now=START),
    ]
    owner_only = [
        lambda a: campaigns.create_project(store, a, "n", now=START),
        lambda a: accounts.invite(store, a, "owner", now=START),
        lambda a: accounts.invite(store, a, "lead", project=world.project, now=START),
        lambda a: accounts.list_people(store, a),
        lambda a: profiles.add_consent(store, a, "text", now=START),
        lambda a: accounts.reset_password(store, a, "p0", now=START),
        lambda a: accounts.set_account_state(store, a, "p0", "disabled", now=START),
    ]
    for call, actor in itertools.product([*lead_only, *owner_only], [who, stranger]):
        with pytest.raises((Refused, Missing)):
            call(actor)
    for call in owner_only:
        with pytest.raises(Refused):
            call(lead)
    for call in lead_only:
        with pytest.raises((Refused, Missing)):
            call(other_lead)
    for call in (
        lambda a: campaigns.get_campaign(store, a, campaign),
        lambda a: campaigns.list_guidelines(store, a, campaign),
        lambda a: progress.own_progress(store, a, campaign),
        lambda a: assignment.claim(store, a, campaign, now=START),
    ):
        with pytest.raises(Missing):
            call(stranger)
    assert campaigns.list_campaigns(store, stranger) == []
    assert campaigns.list_projects(store, stranger) == []
    assert campaigns.list_projects(store, who)[0].members == ()


# Accounts

PASSWORD = "correct horse battery"


@pytest.fixture
def owner(store):
    accounts.create_owner(store, "Ada@example.org", PASSWORD, now=START)
    return logins.login(store, "ada@example.org", PASSWORD, now=START)


def test_the_first_owner_and_only_one(store, owner):
    assert owner.actor.role == "owner"
    with pytest.raises(Conflict, match="owner already"):
        accounts.create_owner(store, "bob", PASSWORD, now=START)
    with store.read() as session:
        hashed = session.scalars(sa.select(Account.password_hash)).one()
        assert hashed.startswith("$argon2id$")
        stored = session.scalars(sa.select(LoginSession.id_sha256)).one()
    assert owner.token not in stored
    assert len(owner.token) >= 43


def test_sessions_end_by_time_idleness_logout_and_new_password(store, owner):
    found = logins.session_actor(store, owner.token, now=at(60))
    assert (found.actor, found.csrf, found.token) == (owner.actor, owner.csrf, "")
    with pytest.raises(LoginFailed):
        logins.session_actor(store, owner.token + "x", now=at(60))
    with pytest.raises(LoginFailed):
        logins.session_actor(store, owner.token, now=START + timedelta(hours=12, minutes=1))
    for hours in range(0, 7 * 24, 6):
        logins.session_actor(store, owner.token, now=START + timedelta(hours=hours))
    with pytest.raises(LoginFailed):
        logins.session_actor(store, owner.token, now=START + timedelta(days=7))

    second = logins.login(store, "ada@example.org", PASSWORD, now=at(1))
    logins.logout(store, second.token)
    with pytest.raises(LoginFailed):
        logins.session_actor(store, second.token, now=at(2))
    third = logins.login(store, "ada@example.org", PASSWORD, now=at(3))
    with pytest.raises(LoginFailed):
        logins.change_password(store, third.actor, "wrong password", "a new password", now=at(4))
    logins.change_password(store, third.actor, PASSWORD, "a new password", now=at(4))
    with pytest.raises(LoginFailed):
        logins.session_actor(store, third.token, now=at(5))
    assert logins.login(store, "ada@example.org", "a new password", now=at(6)).token


def test_ten_wrong_passwords_lock_for_a_quarter_of_an_hour(store, owner, monkeypatch):
    verified = []
    real = argon2.PasswordHasher.verify

    def verify(self, hashed, password):
        verified.append(hashed[:9])
        return real(self, hashed, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
    messages = set()
    for n in range(10):
        with pytest.raises(LoginFailed) as error:
            logins.login(store, "ada@example.org", "wrong", now=at(n))
        messages.add(str(error.value))
    with pytest.raises(LoginFailed) as error:
        logins.login(store, "ada@example.org", PASSWORD, now=at(20))
    messages.add(str(error.value))
    with pytest.raises(LoginFailed) as error:
        logins.login(store, "nobody", "wrong", now=at(20))
    messages.add(str(error.value))
    # One wording for all, and a hash is verified in every case.
    assert len(messages) == 1
    assert verified == ["$argon2id"] * 12
    assert logins.login(store, "ada@example.org", PASSWORD, now=at(9 + 15 * 60)).token


def test_an_invitation_makes_one_account(store, owner):
    project = campaigns.create_project(store, owner.actor, "p", now=START)
    secret = accounts.invite(store, owner.actor, "annotator", project=project, now=START)
    with store.read() as session:
        assert secret not in session.scalars(sa.select(Invitation.token_sha256)).one()
    assert accounts.invitation_role(store, secret, now=at(1)) == "annotator"
    with pytest.raises(DataError):
        accounts.accept_invitation(store, secret, "eve", "short", now=at(1))
    with pytest.raises(Conflict, match="taken"):
        accounts.accept_invitation(store, secret, "ADA@example.org", PASSWORD, now=at(1))
    with pytest.raises(DataError, match="login"):
        accounts.accept_invitation(store, secret, "e v e", PASSWORD, now=at(1))
    pseudonym = accounts.accept_invitation(store, secret, "Eve", PASSWORD, now=at(2))
    assert "eve" not in pseudonym
    with pytest.raises(Missing):
        accounts.accept_invitation(store, secret, "mallory", PASSWORD, now=at(3))
    eve = logins.login(store, "eve", PASSWORD, now=at(4))
    assert (eve.actor.role, eve.actor.projects) == ("annotator", frozenset({project}))
    assert [(p.login, p.role) for p in accounts.list_people(store, owner.actor)] == [
        ("ada@example.org", "owner"),
        ("eve", "annotator"),
    ]
    late = accounts.invite(store, owner.actor, "lead", now=START)
    with pytest.raises(Missing):
        accounts.invitation_role(store, late, now=START + timedelta(days=7))

    accounts.set_account_state(store, owner.actor, pseudonym, "disabled", now=at(5))
    with pytest.raises(LoginFailed):
        logins.session_actor(store, eve.token, now=at(6))
    with pytest.raises(LoginFailed):
        logins.login(store, "eve", PASSWORD, now=at(6))
    accounts.set_account_state(store, owner.actor, pseudonym, "active", now=at(7))
    reset = accounts.reset_password(store, owner.actor, pseudonym, now=at(7))
    assert accounts.invitation_role(store, reset, now=at(8)) == "reset"
    assert accounts.accept_invitation(store, reset, "", "another password", now=at(8)) == pseudonym
    assert logins.login(store, "eve", "another password", now=at(9)).actor == eve.actor


def test_tokens_are_shown_once_scoped_and_revocable(store, owner):
    plain = logins.create_token(store, owner.actor, "ci", frozenset({"export"}), now=START)
    info = logins.list_tokens(store, owner.actor)[0]
    assert plain.startswith(f"fl_{info.prefix}_")
    assert info.scopes == ("export",)
    with store.read() as session:
        row = session.scalars(sa.select(ApiToken)).one()
        assert plain not in (row.sha256, row.prefix, row.name)
    actor = logins.token_actor(store, plain, now=at(1))
    assert actor.scopes == frozenset({"export"})
    with pytest.raises(Refused):
        campaigns.create_project(store, actor, "p", now=at(1))
    with pytest.raises(LoginFailed):
        logins.create_token(store, actor, "more", frozenset({"manage"}), now=at(1))
    with pytest.raises(ConfigError):
        logins.create_token(store, owner.actor, "none", frozenset(), now=at(1))
    with pytest.raises(LoginFailed):
        logins.token_actor(store, plain, now=START + timedelta(days=90))
    logins.revoke_token(store, owner.actor, info.id, now=at(2))
    with pytest.raises(LoginFailed):
        logins.token_actor(store, plain, now=at(3))
    with pytest.raises(Missing):
        logins.revoke_token(store, LOCAL, info.id, now=at(3))


def test_nobody_works_before_they_agree_to_the_current_text(world, store):
    campaign = world.campaign([pair(1)])
    who = world.people[0]
    assert profiles.current_consent(store) is None
    assert profiles.add_consent(store, LOCAL, "first", now=START) == 1
    assert world.claim(who, campaign).why == "consent"
    profiles.give_consent(store, who, 1, now=at(1))
    task = world.claim(who, campaign)
    assert profiles.add_consent(store, LOCAL, "second", now=at(2)) == 2
    assert profiles.current_consent(store) == (2, "second")
    assert world.claim(who, campaign).why == "consent"
    with pytest.raises(Conflict, match="changed"):
        profiles.give_consent(store, who, 1, now=at(3))
    assert world.answer(who, task).status == "stored"  # what was begun is kept
    assert profiles.profile(store, who).consent_version == 1


def test_distressing_work_can_be_declined(world, store):
    campaign = world.campaign([pair(1)], content_warning="violence")
    who = world.people[0]
    assert world.claim(who, campaign).content_warning == "violence"
    profiles.set_profile(store, who, content_opt_out=True, groups={"region": "north"}, now=at(1))
    assert world.claim(who, campaign).why == "opted_out"
    assert profiles.profile(store, who).groups == {"region": "north"}


# Campaigns and items


def test_items_are_added_once_and_never_changed(world, store):
    campaign = world.campaign([pair(1)])
    add = campaign_items.add_items
    assert add(store, world.lead, campaign, [pair(1), pair(2)], now=at(1)).added == 1
    changed = pair(1).model_copy(update={"candidates": pair(9).candidates})
    with pytest.raises(Conflict, match="other content"):
        add(store, world.lead, campaign, [pair(3), changed], now=at(2))
    bad = pair(4).model_copy(update={"candidates": pair(4).candidates[:1]})
    with pytest.raises(DataError, match="does not fit") as error:
        add(store, world.lead, campaign, [pair(3), bad], now=at(2))
    assert (error.value.where, error.value.got) == ("item i4", "1 replies; this work takes 2")
    gold = pair(5, role="gold", accepted=({"preferred": 2},))
    with pytest.raises(DataError, match="does not fit"):
        add(store, world.lead, campaign, [gold], now=at(2))
    names = [row.external_id for row in campaign_items.list_items(store, world.lead, campaign)]
    assert names == ["i1", "i2"]
    batch = campaign_items.NewBatch(strategy="random", seed=3)
    done = add(store, world.lead, campaign, [pair(6, propensity=0.2)], now=at(3), batch=batch)
    with store.read() as session:
        row = session.scalars(sa.select(Item).where(Item.external_id == "i6")).one()
        assert (row.batch_id, row.propensity, row.target) == (done.batch, 0.2, 1)


def test_ids_of_candidates_tell_nothing_and_repeat_with_the_seed(world, store):
    campaign = world.campaign([pair(i) for i in range(200)])
    with store.read() as session:
        rows = session.execute(
            sa.select(Candidate.item_id, Candidate.id).order_by(Candidate.item_id, Candidate.idx)
        ).all()
    pairs = [(rows[i].id, rows[i + 1].id) for i in range(0, len(rows), 2)]
    assert all(0 <= one < 2**53 for both in pairs for one in both)
    # 200 fair coins: 100 expected, standard deviation 7.1.
    assert 70 <= sum(a < b for a, b in pairs) <= 130
    assert campaign == 1


def test_gold_is_kept_in_candidate_ids(world, store):
    world.campaign([pair(1, role="gold", accepted=({"preferred": 1}, {"preferred": None}))])
    with store.read() as session:
        second = session.scalars(sa.select(Candidate.id).where(Candidate.idx == 1)).one()
        assert session.get_one(Gold, 1).accepted == [{"preferred": second}, {"preferred": None}]


def test_guidelines_have_versions_that_answers_name(world, store):
    campaign = world.campaign([pair(1), pair(2)])
    who = world.people[0]
    first = campaigns.add_guideline(store, world.lead, campaign, "Be fair.", now=at(1))
    task = world.claim(who, campaign)
    second = campaigns.add_guideline(store, world.lead, campaign, "Be fairer.", now=at(2))
    assert (first.version, second.version) == (1, 2)
    assert first.sha256 == hashlib.sha256(b"Be fair.").hexdigest()
    assert task.guideline == first
    world.answer(who, task)
    assert world.claim(who, campaign).guideline == second
    with store.read() as session:
        assert session.get_one(Response, 1).guideline_version == 1


def test_the_question_stays_once_there_are_items(world, store):
    campaign = world.campaign([pair(1)])
    change = campaigns.change_campaign
    change(store, world.lead, campaign, {"work": {"kind": "pairwise"}, "overlap": 2}, now=at(1))
    assert campaigns.get_campaign(store, world.lead, campaign).settings.overlap == 2
    with pytest.raises(Conflict, match="cannot change"):
        change(store, world.lead, campaign, {"work": {"kind": "binary"}}, now=at(2))
    with pytest.raises(ConfigError, match="cannot work"):
        change(store, world.lead, campaign, {"work": {"kind": "pairwise"}, "overlp": 2}, now=at(2))


def test_progress_counts(world, store):
    campaign = world.campaign([pair(i) for i in range(4)], overlap=2)
    a, b, c = world.people[:3]
    world.answer(a, world.claim(a, campaign))
    world.answer(b, world.claim(b, campaign))
    task = world.claim(c, campaign)
    assignment.flag(store, c, task.assignment, "harmful", note="see", now=at(1))
    world.claim(a, campaign)
    assignment.skip(store, c, task.assignment, "unclear", now=at(2))
    found = progress.campaign_progress(store, world.lead, campaign)
    assert found == progress.CampaignProgress(
        items=4, open=3, full=0, done=1, dropped=0, wanted=8, counted=2,
        late=0, live=1, skipped=1, flags=1, people=3,
    )  # fmt: skip
    assert progress.own_progress(store, a, campaign) == progress.OwnProgress(1, 0, 4, 1)
    people = progress.people_progress(store, world.lead, campaign)
    assert [(p.annotator, p.done, p.skipped) for p in people] == [
        ("p0", 1, 0),
        ("p1", 1, 0),
        ("p2", 0, 1),
    ]
    flags = campaign_items.list_flags(store, world.lead, campaign)
    assert [(f.reason, f.note, f.annotator) for f in flags] == [("harmful", "see", "p2")]
    campaign_items.resolve_flag(store, world.lead, flags[0].id, now=at(3))
    assert campaign_items.list_flags(store, world.lead, campaign) == []


def test_history_can_be_emptied_but_not_changed(world, store):
    campaign = world.campaign([pair(1)])
    world.answer(world.people[0], world.claim(world.people[0], campaign), reason="because")
    for change in (
        {"cause": "undo"},
        {"value": {"preferred": 1}},
        {"reason": "other", "value": None, "shown": None, "active_ms": None, "nonce": None},
    ):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.write() as session:
            session.execute(sa.update(ResponseRevision).values(**change))
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.write() as session:
        session.execute(sa.delete(ResponseRevision))
    with store.write() as session:
        session.execute(
            sa.update(ResponseRevision).values(
                value=None, shown=None, reason=None, active_ms=None, nonce=None
            )
        )
    with store.read() as session:
        row = session.scalars(sa.select(ResponseRevision)).one()
        assert (row.value, row.reason, row.cause) == (None, None, "submit")


def test_annotators_see_nothing_of_each_other(world, store):
    campaign = world.campaign([pair(1)], overlap=2)
    a, b = world.people[:2]
    world.answer(a, world.claim(a, campaign), reason="SECRET-REASON")
    task = world.claim(b, campaign)
    assert "SECRET-REASON" not in repr(task)
    assert "m1" not in repr(task)
    assert answers.last_answers(store, b, campaign) == []
    with pytest.raises(Missing):
        answers.undo(store, b, 1, now=at(1))
