"""Who gets which item, for how long, in which order.

The server chooses; nobody asks for an item. A claim is one transaction: the person's counters are
locked, so their own requests follow each other; the item is locked, so no two people take its last
place; a unique constraint is the last guard.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Select, bindparam, exists, func, select, tuple_
from sqlalchemy.orm import Session

from fairlead.core.errors import DataError, ServiceError
from fairlead.core.seeds import Seed
from fairlead.feedback import audit
from fairlead.feedback.campaigns import (
    CampaignSettings,
    GuidelineInfo,
    permitted,
    set_item_state,
    settings_of,
)
from fairlead.feedback.errors import Conflict, Refused
from fairlead.feedback.ordering import next_turn, shown_order
from fairlead.feedback.permissions import Actor, Thing, missing, require
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    Annotator,
    Assignment,
    Campaign,
    Consent,
    Draft,
    Flag,
    Guideline,
    Item,
    Moment,
    Participation,
    Response,
    Step,
    Suggestion,
)
from fairlead.feedback.work import Kind, unstorable
from fairlead.records import Message

MAX_LIVE = 2
"""Leases that a person may hold: what they work on and what comes next."""
LONGEST_NOTE = 2000
SKIP_REASONS = ("unclear", "too_hard", "not_my_field", "broken", "distressing", "other")
FLAG_REASONS = ("personal_data", "harmful", "names_itself", "broken", "other")

Purpose = Literal["normal", "gold", "repeat", "screening"]
_GIVEN_BACK = ("expired", "released")
"""States from which the same person may get the item again."""


@dataclass(frozen=True)
class ShownCandidate:
    """A reply as the annotator sees it: never with the name of its model."""

    id: int
    text: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class SavedDraft:
    """What was typed so far."""

    value: dict[str, Any]
    seq: int


@dataclass(frozen=True)
class GivenAnswer:
    """The person's own answer, where there is one."""

    response: int
    value: dict[str, Any] | None
    reason: str
    revision: int
    state: str


@dataclass(frozen=True)
class ShownSuggestion:
    """What a model answered, where the campaign shows that."""

    question: str
    value: dict[str, Any]
    agent: str


@dataclass(frozen=True)
class Task:
    """All that an annotator sees of an assignment. It does not tell gold from other work."""

    assignment: int
    campaign: int
    client_key: str
    """Goes back with the answer; makes sending it twice harmless."""
    state: str
    lease_until: datetime
    work: Kind
    messages: tuple[Message, ...]
    candidates: tuple[ShownCandidate, ...]
    """In the order to be shown."""
    guideline: GuidelineInfo | None
    markdown: bool
    content_warning: str
    draft: SavedDraft | None
    answer: GivenAnswer | None
    suggestions: tuple[ShownSuggestion, ...]


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


class _AllLocked(Exception):
    """There are open items, but other transactions hold them just now."""


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
        except _AllLocked:
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
        return _task(session, settings, row, session.get_one(Item, row.item_id))


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
_PART = (
    select(Participation)
    .where(
        Participation.campaign_id == bindparam("campaign"),
        Participation.annotator_id == bindparam("annotator"),
    )
    .with_for_update()
)


def _unseen(purpose: Purpose) -> Select[Item]:
    """Open items of a role that the person does not have and has not closed."""
    had = exists().where(
        Assignment.item_id == Item.id,
        Assignment.annotator_id == bindparam("annotator"),
        Assignment.purpose == purpose,
        Assignment.state.not_in(_GIVEN_BACK),
    )
    return select(Item).where(
        Item.campaign_id == bindparam("campaign"),
        Item.role == purpose,
        Item.state == "open",
        ~had,
    )


_ANY_OPEN = _unseen("normal").with_only_columns(Item.id).limit(1)
_OPEN = (
    _unseen("normal")
    .order_by(Item.rank, Item.id)
    .limit(1)
    .with_for_update(skip_locked=True, of=Item)
)
_OPEN_BEHIND = _OPEN.where(
    tuple_(Item.rank, Item.id)
    > tuple_(bindparam("rank", type_=Item.rank.type), bindparam("item", type_=Item.id.type))
)
_OF_ITEM = select(Assignment.id, Assignment.annotator_id, Assignment.state, Assignment.turn).where(
    Assignment.item_id == bindparam("item"), Assignment.purpose == bindparam("purpose")
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
_TYPED = (
    select(Draft, Response)
    .select_from(Assignment)
    .outerjoin(Draft, Draft.assignment_id == Assignment.id)
    .outerjoin(Response, Response.assignment_id == Assignment.id)
    .where(Assignment.id == bindparam("assignment"))
)


# Parts of a claim


@dataclass(frozen=True)
class _Given:
    """An assignment that was leased just now, and whether it was made for that."""

    row: Assignment
    item: Item
    made: bool


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
    part = _participation(session, campaign, actor.pseudonym)
    if found.any_stale:
        _expire(session, campaign, now)
    if part.state == "paused":
        return _waiting()
    live = session.scalars(_LIVE, asked).all()
    held = [one for one in live if one.campaign_id == campaign]
    if held and (not another or len(held) >= MAX_LIVE):
        resumed = held[-1] if another else held[0]
        _prolong(resumed, settings, now)
        return _task(session, settings, resumed, session.get_one(Item, resumed.item_id))
    elsewhere = [one for one in live if one.campaign_id != campaign]
    for one in elsewhere[: max(0, len(live) - MAX_LIVE + 1)]:
        _close(session, one, "released", now)
    given = _next(session, row, settings, part, now)
    if given is None:
        return _waiting() if part.state == "paused" else Nothing("empty", "All work is done.")
    return _task(session, settings, given.row, given.item, untouched=given.made)


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


def _participation(session: Session, campaign: int, annotator: str) -> Participation:
    """A person's counters in a campaign, locked until the transaction ends."""
    part = session.scalar(_PART, {"campaign": campaign, "annotator": annotator})
    if part is None:
        part = Participation(campaign_id=campaign, annotator_id=annotator)
        session.add(part)
        session.flush()
    return part


def _whose(part: Participation) -> dict[str, Any]:
    return {"campaign": part.campaign_id, "annotator": part.annotator_id}


def _next(
    session: Session,
    campaign: Campaign,
    settings: CampaignSettings,
    part: Participation,
    now: datetime,
) -> _Given | None:
    if part.state == "new":
        item = _screening_item(session, settings, part)
        if item is not None:
            return _assign(session, campaign, settings, part, item, "screening", now)
        _admit(settings, part)
        if part.state == "paused":
            return None
    item, purpose = _drawn_item(session, campaign, settings, part)
    if item is not None:
        return _assign(session, campaign, settings, part, item, purpose, now)
    item = _open_item(session, part)
    if item is None:
        return None
    with session.no_autoflush:  # The person's row changes once.
        part.cursor_rank, part.cursor_item = item.rank, item.id
        return _assign(session, campaign, settings, part, item, "normal", now)


def _screening_item(
    session: Session, settings: CampaignSettings, part: Participation
) -> Item | None:
    if part.screening_n >= settings.screening:
        return None
    query = _unseen("screening").order_by(Item.rank, Item.id).limit(1)
    return session.scalars(query, _whose(part)).first()


def _admit(settings: CampaignSettings, part: Participation) -> None:
    """After the screening set: to work, or to a lead's decision."""
    right, n = part.screening_right, part.screening_n
    if n and right / n < settings.screening_pass:
        part.state = "paused"
        part.paused_why = f"screening: {right} of {n} right"
    else:
        part.state = "active"


def _drawn_item(
    session: Session, campaign: Campaign, settings: CampaignSettings, part: Participation
) -> tuple[Item | None, Purpose]:
    """A gold item or a repeat, as often as the settings say, where there is one."""
    seed = Seed(campaign.seed).child("purpose", part.annotator_id, part.shown_n)
    gold_rate = settings.gold_rate
    if settings.gold_start_rate is not None and part.shown_n < settings.gold_start_n:
        gold_rate = settings.gold_start_rate
    if gold_rate + settings.repeat_rate == 0:
        return None, "normal"
    draw = float(seed.numpy().random())
    if draw < gold_rate:
        return _gold_item(session, part, seed), "gold"
    if draw < gold_rate + settings.repeat_rate:
        return _repeat_item(session, settings, part, seed), "repeat"
    return None, "normal"


def _gold_item(session: Session, part: Participation, seed: Seed) -> Item | None:
    query = _unseen("gold").with_only_columns(Item.id).order_by(Item.id)
    return _picked(session, session.scalars(query, _whose(part)).all(), seed)


def _repeat_item(
    session: Session, settings: CampaignSettings, part: Participation, seed: Seed
) -> Item | None:
    """An item that the person answered at least `repeat_gap` answers ago and never again."""
    mine = (
        select(Assignment.item_id)
        .where(
            Assignment.annotator_id == part.annotator_id,
            Assignment.campaign_id == part.campaign_id,
            Assignment.purpose == "normal",
            Assignment.state == "submitted",
        )
        .order_by(Assignment.id.desc())
        .offset(settings.repeat_gap)
        .limit(50)
    )
    ids = session.scalars(mine).all()
    repeated = select(Assignment.item_id).where(
        Assignment.annotator_id == part.annotator_id,
        Assignment.campaign_id == part.campaign_id,
        Assignment.purpose == "repeat",
        Assignment.state.not_in(_GIVEN_BACK),
    )
    taken = set(session.scalars(repeated.where(Assignment.item_id.in_(ids))))
    return _picked(session, sorted(set(ids) - taken), seed)


def _picked(session: Session, ids: Sequence[int], seed: Seed) -> Item | None:
    if not ids:
        return None
    return session.get(Item, ids[int(seed.child("pick").numpy().integers(len(ids)))])


def _open_item(session: Session, part: Participation) -> Item | None:
    """The next item with room that the person has not had, locked.

    Looks behind the item claimed last; from the start only when nothing is left there.
    """
    asked = {**_whose(part), "rank": part.cursor_rank, "item": part.cursor_item}
    if part.cursor_item is not None:
        item = session.scalars(_OPEN_BEHIND, asked).first()
        if item is not None:
            return item
    item = session.scalars(_OPEN, asked).first()
    if item is None and session.scalars(_ANY_OPEN, asked).first() is not None:
        raise _AllLocked
    return item


def _assign(
    session: Session,
    campaign: Campaign,
    settings: CampaignSettings,
    part: Participation,
    item: Item,
    purpose: Purpose,
    now: datetime,
) -> _Given:
    """Leases an item: the person's earlier assignment of it, or a new one."""
    others = session.execute(_OF_ITEM, {"item": item.id, "purpose": purpose}).all()
    mine = next((one.id for one in others if one.annotator_id == part.annotator_id), None)
    if mine is not None:
        row = session.get_one(Assignment, mine)
    else:
        row = _new_assignment(session, campaign, part, item, purpose, others, now)
    row.guideline_version = campaign.guideline_version
    _lease(row, item, settings, now)
    session.flush()
    return _Given(row, item, made=mine is None)


def _new_assignment(
    session: Session,
    campaign: Campaign,
    part: Participation,
    item: Item,
    purpose: Purpose,
    others: Sequence[Any],
    now: datetime,
) -> Assignment:
    ids = [one.id for one in item.candidates]
    if purpose == "repeat":
        # Another order than the first time, so that it shows who follows positions.
        mine = (Assignment.item_id == item.id, Assignment.annotator_id == part.annotator_id)
        turns = session.scalars(select(Assignment.turn).where(*mine)).all()
    else:
        turns = [one.turn for one in others if one.state in ("leased", "submitted")]
    root = Seed(campaign.seed)
    seed = root.child("order", part.annotator_id, part.shown_n)
    turn = next_turn(turns, len(ids), part.pairs_n, part.first_n, seed)
    row = Assignment(
        item_id=item.id,
        campaign_id=campaign.id,
        annotator_id=part.annotator_id,
        purpose=purpose,
        order=shown_order(ids, turn, root.child("base", item.external_id)),
        turn=turn,
        order_seed=seed.value,
        client_key=secrets.token_urlsafe(16),
        guideline_version=campaign.guideline_version,
        state="new",
        leased_at=now,
        lease_until=now,
    )
    session.add(row)
    part.shown_n += 1
    if len(ids) == 2:
        part.pairs_n += 1
        part.first_n += turn == 0
    return row


# Leases


def _lease(row: Assignment, item: Item, settings: CampaignSettings, now: datetime) -> None:
    """Starts a lease; the item must be locked and have room."""
    row.state, row.leased_at, row.closed_at = "leased", now, None
    row.lease_until = now + timedelta(seconds=settings.lease_s)
    if row.purpose == "normal":
        item.live_n += 1
        set_item_state(item)


def lease_again(
    session: Session, row: Assignment, settings: CampaignSettings, now: datetime
) -> None:
    """Leases a person's closed assignment to them again if its item has room, else leaves it."""
    item = _locked_item(session, row)
    if _has_room(item, row):
        _lease(row, item, settings, now)
    else:
        row.state = "expired"


def lease_item(
    session: Session, campaign: Campaign, item: Item, annotator: str, *, now: datetime
) -> Assignment:
    """A person's assignment of this very item; made and leased if there is none.

    Raises:
        Refused: a lead has paused this person.
    """
    part = _participation(session, campaign.id, annotator)
    if part.state == "paused":
        raise Refused(
            "this person's work is paused",
            where=f"campaign {campaign.name}",
            got=part.paused_why,
            remedy="a lead can let them go on",
        )
    key = (Assignment.item_id == item.id, Assignment.annotator_id == annotator)
    row = session.scalar(select(Assignment).where(*key, Assignment.purpose == "normal"))
    if row is not None and row.state not in _GIVEN_BACK:
        return row
    return _assign(session, campaign, settings_of(campaign), part, item, "normal", now).row


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


# What is shown


def _task(
    session: Session,
    settings: CampaignSettings,
    row: Assignment,
    item: Item,
    *,
    untouched: bool = False,
) -> Task:
    """What is shown. An untouched assignment was just made, so it has no draft and no answer."""
    draft = response = None
    if not untouched:
        draft, response = session.execute(_TYPED, {"assignment": row.id}).one()
    return Task(
        assignment=row.id,
        campaign=row.campaign_id,
        client_key=row.client_key,
        state=row.state,
        lease_until=row.lease_until,
        work=settings.work,
        messages=tuple(Message.model_validate(one) for one in item.messages),
        candidates=_shown_candidates(session, row, item, with_steps=settings.work.needs_steps),
        guideline=_guideline(session, row),
        markdown=settings.markdown,
        content_warning=settings.content_warning,
        draft=None if draft is None else SavedDraft(draft.value, draft.seq),
        answer=None if response is None else _given(response),
        suggestions=_suggestions(session, row) if settings.show_suggestions else (),
    )


def _shown_candidates(
    session: Session, row: Assignment, item: Item, *, with_steps: bool
) -> tuple[ShownCandidate, ...]:
    texts = {one.id: one.text for one in item.candidates}
    steps: dict[int, list[str]] = {}
    if with_steps:
        query = select(Step).where(Step.candidate_id.in_(row.order)).order_by(Step.idx)
        for step in session.scalars(query):
            steps.setdefault(step.candidate_id, []).append(step.text)
    return tuple(
        ShownCandidate(number, texts[number], tuple(steps.get(number, ()))) for number in row.order
    )


def _guideline(session: Session, row: Assignment) -> GuidelineInfo | None:
    found = None
    if row.guideline_version:
        found = session.get(Guideline, (row.campaign_id, row.guideline_version))
    if found is None:
        return None
    return GuidelineInfo(found.version, found.text, found.sha256, found.created_at)


def _given(found: Response) -> GivenAnswer:
    return GivenAnswer(found.id, found.value, found.reason, found.revision, found.state)


def _suggestions(session: Session, row: Assignment) -> tuple[ShownSuggestion, ...]:
    query = select(Suggestion).where(Suggestion.item_id == row.item_id).order_by(Suggestion.id)
    return tuple(ShownSuggestion(s.question, s.value, s.agent) for s in session.scalars(query))
