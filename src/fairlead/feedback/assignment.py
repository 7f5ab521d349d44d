"""Who gets which item, and for how long.

The server chooses; nobody asks for an item. A claim is one transaction: the person's counters are
locked, so their own requests follow each other; the item is locked, so no two people take its last
place; a unique constraint is the last guard.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.orm import Session

from fairlead.core.errors import DataError, ServiceError
from fairlead.feedback import audit
from fairlead.feedback.campaign_items import set_item_state
from fairlead.feedback.campaigns import CampaignSettings, permitted, settings_of
from fairlead.feedback.drawing import (
    GIVEN_BACK,
    AllLocked,
    assign,
    next_for,
    participation_of,
    set_lease,
)
from fairlead.feedback.errors import Conflict, Refused
from fairlead.feedback.permissions import Actor, Thing, missing, require
from fairlead.feedback.shown_tasks import Task, shown_task
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    Annotator,
    Assignment,
    Campaign,
    Consent,
    Flag,
    Item,
    Moment,
    Participation,
)
from fairlead.feedback.work import unstorable

MAX_LIVE = 2
"""Leases that a person may hold: what they work on and what comes next."""
LONGEST_NOTE = 2000
SKIP_REASONS = ("unclear", "too_hard", "not_my_field", "broken", "distressing", "other")
FLAG_REASONS = ("personal_data", "harmful", "names_itself", "broken", "other")


@dataclass(frozen=True)
class Nothing:
    """There is no work now, and why."""

    why: Literal["empty", "not_open", "waiting", "consent", "opted_out"]
    text: str


@dataclass(frozen=True)
class Lease:
    """Whether a lease lives, and until when."""

    live: bool
    until: datetime


def claim(
    store: Store, actor: Actor, campaign: int, *, now: datetime, another: bool = False
) -> Task | Nothing:
    """Gives a person their next task: the one they hold, or a new one.

    Args:
        store: the database.
        actor: who asks.
        campaign: where they want to work.
        now: the time.
        another: give a second task while they hold one, to have it ready.

    Raises:
        Missing: no such campaign for this person.
        ServiceError: others hold all items for too long.
    """
    for attempt in range(60):
        try:
            return store.transact(lambda session: _claim(session, actor, campaign, now, another))
        except AllLocked:
            time.sleep(0.002 * (1 + attempt % 10))
    raise ServiceError("the database is too busy", remedy="try again in a moment")


def task(store: Store, actor: Actor, assignment: int) -> Task:
    """One of a person's own assignments, with the draft or the answer.

    Raises:
        Missing: it is not theirs.
    """
    with store.read() as session:
        row = _own(session, actor, assignment)
        settings = settings_of(session.get_one(Campaign, row.campaign_id))
        return shown_task(session, settings, row, session.get_one(Item, row.item_id))


def heartbeat(store: Store, actor: Actor, assignment: int, *, now: datetime) -> Lease:
    """Prolongs a lease while somebody is at work; brings an expired one back if there is room."""

    def beat(session: Session) -> Lease:
        row, _, campaign = lock_own(session, actor, assignment)
        settings = settings_of(campaign)
        if row.state == "expired":
            lease_again(session, row, settings, now)
        elif row.state == "leased":
            _prolong(row, settings, now)
        return Lease(row.state == "leased" and row.lease_until > now, row.lease_until)

    return store.transact(beat)


def release(store: Store, actor: Actor, assignment: int, *, now: datetime) -> None:
    """Gives an item back unanswered; the draft stays, and the person may get it again."""

    def give_back(session: Session) -> None:
        row, _, _ = lock_own(session, actor, assignment)
        if row.state == "leased":
            _close(session, row, "released", now)

    store.transact(give_back)


def release_all(store: Store, actor: Actor, *, now: datetime) -> int:
    """Gives back all that a person holds, e.g. when they log out; returns how many."""

    def give_back(session: Session) -> int:
        asked = {"annotator": actor.pseudonym, "now": now}
        held = session.scalars(_LIVE, asked).all()
        for row in sorted(held, key=lambda one: one.item_id):
            _close(session, row, "released", now)
        return len(held)

    return store.transact(give_back)


def skip(
    store: Store, actor: Actor, assignment: int, reason: str, *, note: str = "", now: datetime
) -> None:
    """Gives an item to others instead; after the campaign's limit of skips, to nobody.

    Raises:
        DataError: an unknown reason.
        Conflict: the task is answered already.
    """
    _known_reason(reason, SKIP_REASONS, note)

    def pass_on(session: Session) -> None:
        row, part, campaign = lock_own(session, actor, assignment)
        if row.state == "skipped":
            return
        if row.state == "submitted":
            raise Conflict("this task is answered already", remedy="undo the answer first")
        part.skip_n += 1
        part.screening_n += row.purpose == "screening"
        item = _close(session, row, "skipped", now)
        row.skip_reason, row.skip_note = reason, note
        if row.purpose == "normal":
            item.skip_n += 1
            if item.skip_n >= settings_of(campaign).skip_limit:
                item.state = "dropped"
        session.flush()
        audit.record(session, now, actor.pseudonym, "skip", f"assignment:{row.id}", reason)

    store.transact(pass_on)


def flag(
    store: Store,
    actor: Actor,
    assignment: int,
    reason: str,
    *,
    note: str = "",
    candidate: int | None = None,
    now: datetime,
) -> int:
    """Reports an item or one of its replies to the leads; returns the flag's id.

    Raises:
        DataError: an unknown reason.
        Conflict: a reply that is not part of the task.
    """
    _known_reason(reason, FLAG_REASONS, note)

    def report(session: Session) -> int:
        row = _own(session, actor, assignment)
        if candidate is not None and candidate not in row.order:
            raise Conflict("this reply is not part of the task", where=f"assignment {assignment}")
        made = Flag(
            item_id=row.item_id,
            campaign_id=row.campaign_id,
            candidate_id=candidate,
            annotator_id=actor.pseudonym,
            reason=reason,
            note=note,
            at=now,
        )
        session.add(made)
        session.flush()
        audit.record(session, now, actor.pseudonym, "flag", f"flag:{made.id}", reason)
        return made.id

    return store.transact(report)


def expire_leases(store: Store, campaign: int, *, now: datetime) -> int:
    """Takes back leases that ran out. Every claim does, so that no daemon is needed."""
    return store.transact(lambda session: _expire(session, campaign, now))


# Statements of every claim and every answer, built once

_IS_STALE = (
    Assignment.campaign_id == bindparam("campaign"),
    Assignment.state == "leased",
    Assignment.lease_until <= bindparam("now", type_=Moment),
)
_START = (
    select(
        Campaign,
        Annotator.state.label("person"),
        Annotator.consent_version,
        Annotator.content_opt_out,
        select(func.max(Consent.version)).scalar_subquery().label("newest"),
        exists().where(*_IS_STALE).label("any_stale"),
    )
    .select_from(Campaign)
    .outerjoin(Annotator, Annotator.id == bindparam("annotator"))
    .where(Campaign.id == bindparam("campaign"))
)
_STALE = (
    select(Assignment, Item)
    .join(Item, Assignment.item_id == Item.id)
    .where(*_IS_STALE)
    .order_by(Assignment.lease_until)
    .limit(50)
    .with_for_update(skip_locked=True, of=[Assignment, Item])
)
_LIVE = (
    select(Assignment)
    .where(
        Assignment.annotator_id == bindparam("annotator"),
        Assignment.state == "leased",
        Assignment.lease_until > bindparam("now", type_=Moment),
    )
    .order_by(Assignment.id)
    .with_for_update()
)


_OWN = (
    select(Participation, Assignment, Campaign)
    .join(
        Assignment,
        (Assignment.campaign_id == Participation.campaign_id)
        & (Assignment.annotator_id == Participation.annotator_id),
    )
    .join(Campaign, Campaign.id == Assignment.campaign_id)
    .where(Assignment.id == bindparam("assignment"))
    .with_for_update(of=[Participation, Assignment])
)


# Parts of a claim


def _claim(
    session: Session, actor: Actor, campaign: int, now: datetime, another: bool
) -> Task | Nothing:
    asked = {"campaign": campaign, "annotator": actor.pseudonym, "now": now}
    found = session.execute(_START, asked).one_or_none()
    if found is None:
        raise missing(f"campaign {campaign}")
    row = permitted(found[0], actor, "work", f"campaign {campaign}")
    settings = settings_of(row)
    refusal = _may_not_work(actor, row, settings, found)
    if refusal is not None:
        return refusal
    part = participation_of(session, campaign, actor.pseudonym)
    if found.any_stale:
        _expire(session, campaign, now)
    if part.state == "paused":
        return _waiting()
    live = session.scalars(_LIVE, asked).all()
    held = [one for one in live if one.campaign_id == campaign]
    if held and (not another or len(held) >= MAX_LIVE):
        resumed = held[-1] if another else held[0]
        _prolong(resumed, settings, now)
        return shown_task(session, settings, resumed, session.get_one(Item, resumed.item_id))
    elsewhere = [one for one in live if one.campaign_id != campaign]
    for one in elsewhere[: max(0, len(live) - MAX_LIVE + 1)]:
        _close(session, one, "released", now)
    given = next_for(session, row, settings, part, now)
    if given is None:
        return _waiting() if part.state == "paused" else Nothing("empty", "All work is done.")
    return shown_task(session, settings, given.row, given.item, untouched=given.made)


def _expire(session: Session, campaign: int, now: datetime) -> int:
    """Takes back some leases that ran out; never waits: what is locked is left to the next."""
    rows = session.execute(_STALE, {"campaign": campaign, "now": now}).all()
    for row, item in rows:
        _end(row, item, "expired", now)
    return len(rows)


def _may_not_work(
    actor: Actor, campaign: Campaign, settings: CampaignSettings, found: Any
) -> Nothing | None:
    if found.person != "active":
        raise missing(f"annotator {actor.pseudonym}")
    if campaign.state != "open":
        return Nothing("not_open", f"This campaign is {campaign.state}.")
    if settings.content_warning and found.content_opt_out:
        return Nothing("opted_out", "You chose not to see content that may distress.")
    if found.newest is not None and found.consent_version != found.newest:
        return Nothing("consent", "Please read and agree to what happens with your answers.")
    return None


def _waiting() -> Nothing:
    return Nothing("waiting", "Your first answers are being looked at; a lead will decide.")


# Leases


def lease_again(
    session: Session, row: Assignment, settings: CampaignSettings, now: datetime
) -> None:
    """Leases a person's closed assignment to them again if its item has room, else leaves it."""
    item = _locked_item(session, row)
    if _has_room(item, row):
        set_lease(row, item, settings, now)
    else:
        row.state = "expired"


def lease_item(
    session: Session, campaign: Campaign, item: Item, annotator: str, *, now: datetime
) -> Assignment:
    """A person's assignment of this very item; made and leased if there is none.

    Raises:
        Refused: a lead has paused this person.
    """
    part = participation_of(session, campaign.id, annotator)
    if part.state == "paused":
        raise Refused(
            "this person's work is paused",
            where=f"campaign {campaign.name}",
            got=part.paused_why,
            remedy="a lead can let them go on",
        )
    key = (Assignment.item_id == item.id, Assignment.annotator_id == annotator)
    row = session.scalar(select(Assignment).where(*key, Assignment.purpose == "normal"))
    if row is not None and row.state not in GIVEN_BACK:
        return row
    return assign(session, campaign, settings_of(campaign), part, item, "normal", now).row


def _prolong(row: Assignment, settings: CampaignSettings, now: datetime) -> None:
    wanted = now + timedelta(seconds=settings.lease_s)
    last = row.leased_at + timedelta(seconds=settings.lease_max_s)
    row.lease_until = max(row.lease_until, min(wanted, last))


def _close(session: Session, row: Assignment, state: str, now: datetime) -> Item:
    """Ends a lease without an answer and gives its place back; returns the locked item."""
    item = _locked_item(session, row)
    _end(row, item, state, now)
    session.flush()
    return item


def _end(row: Assignment, item: Item, state: str, now: datetime) -> None:
    if row.state == "leased" and row.purpose == "normal":
        item.live_n -= 1
        set_item_state(item)
    row.state, row.closed_at = state, now


def _locked_item(session: Session, row: Assignment) -> Item:
    return session.get_one(Item, row.item_id, with_for_update=True, populate_existing=True)


def _has_room(item: Item, row: Assignment) -> bool:
    if row.purpose != "normal":
        return True
    return item.state != "dropped" and item.done_n + item.live_n < item.target


# Own assignments


def _own(session: Session, actor: Actor, assignment: int) -> Assignment:
    row = session.get(Assignment, assignment)
    name = f"assignment {assignment}"
    if row is None:
        raise missing(name)
    require(actor, "work", Thing(owner=row.annotator_id, name=name))
    return row


def lock_own(
    session: Session, actor: Actor, assignment: int
) -> tuple[Assignment, Participation, Campaign]:
    """One of a person's own assignments and their counters, locked until the transaction ends.

    Returns:
        Both, and the campaign that they belong to, not locked.

    Raises:
        Missing: it is not theirs.
    """
    found = session.execute(_OWN, {"assignment": assignment}).one_or_none()
    name = f"assignment {assignment}"
    if found is None:
        raise missing(name)
    part, row, campaign = found
    require(actor, "work", Thing(owner=row.annotator_id, name=name))
    return row, part, campaign


def _known_reason(reason: str, known: Sequence[str], note: str) -> None:
    if reason not in known:
        raise DataError(
            "say why", where="reason", expected="one of " + ", ".join(known), got=reason
        )
    if len(note) > LONGEST_NOTE or unstorable(note):
        raise DataError(
            "the note cannot be stored", expected=f"plain text of at most {LONGEST_NOTE} characters"
        )
