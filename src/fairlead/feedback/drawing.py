"""Which item a person gets next, and the assignment that gives it to them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Select, bindparam, exists, select, tuple_
from sqlalchemy.orm import Session

from fairlead.core.seeds import Seed
from fairlead.feedback.campaign_items import set_item_state
from fairlead.feedback.campaigns import CampaignSettings
from fairlead.feedback.ordering import next_turn, shown_order
from fairlead.feedback.store.tables import (
    Assignment,
    Campaign,
    Item,
    Participation,
)

Purpose = Literal["normal", "gold", "repeat", "screening"]


GIVEN_BACK = ("expired", "released")
"""States from which the same person may get the item again."""


class AllLocked(Exception):
    """There are open items, but other transactions hold them just now."""


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
        Assignment.state.not_in(GIVEN_BACK),
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


@dataclass(frozen=True)
class Given:
    """An assignment that was leased just now, and whether it was made for that."""

    row: Assignment
    item: Item
    made: bool


def participation_of(session: Session, campaign: int, annotator: str) -> Participation:
    """A person's counters in a campaign, locked until the transaction ends."""
    part = session.scalar(_PART, {"campaign": campaign, "annotator": annotator})
    if part is None:
        part = Participation(campaign_id=campaign, annotator_id=annotator)
        session.add(part)
        session.flush()
    return part


def _of_person(part: Participation) -> dict[str, Any]:
    return {"campaign": part.campaign_id, "annotator": part.annotator_id}


def next_for(
    session: Session,
    campaign: Campaign,
    settings: CampaignSettings,
    part: Participation,
    now: datetime,
) -> Given | None:
    """Gives a person what comes next; None where there is nothing, or a lead decides first.

    Screening comes first, then at times gold or an item they had before, else an open item.
    """
    if part.state == "new":
        item = _screening_item(session, settings, part)
        if item is not None:
            return assign(session, campaign, settings, part, item, "screening", now)
        _admit(settings, part)
        if part.state == "paused":
            return None
    item, purpose = _drawn_item(session, campaign, settings, part)
    if item is not None:
        return assign(session, campaign, settings, part, item, purpose, now)
    item = _open_item(session, part)
    if item is None:
        return None
    with session.no_autoflush:  # The person's row changes once.
        part.cursor_rank, part.cursor_item = item.rank, item.id
        return assign(session, campaign, settings, part, item, "normal", now)


def _screening_item(
    session: Session, settings: CampaignSettings, part: Participation
) -> Item | None:
    if part.screening_n >= settings.screening:
        return None
    query = _unseen("screening").order_by(Item.rank, Item.id).limit(1)
    return session.scalars(query, _of_person(part)).first()


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
    return _picked(session, session.scalars(query, _of_person(part)).all(), seed)


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
        Assignment.state.not_in(GIVEN_BACK),
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
    asked = {**_of_person(part), "rank": part.cursor_rank, "item": part.cursor_item}
    if part.cursor_item is not None:
        item = session.scalars(_OPEN_BEHIND, asked).first()
        if item is not None:
            return item
    item = session.scalars(_OPEN, asked).first()
    if item is None and session.scalars(_ANY_OPEN, asked).first() is not None:
        raise AllLocked
    return item


def assign(
    session: Session,
    campaign: Campaign,
    settings: CampaignSettings,
    part: Participation,
    item: Item,
    purpose: Purpose,
    now: datetime,
) -> Given:
    """Leases an item: the person's earlier assignment of it, or a new one."""
    others = session.execute(_OF_ITEM, {"item": item.id, "purpose": purpose}).all()
    mine = next((one.id for one in others if one.annotator_id == part.annotator_id), None)
    if mine is not None:
        row = session.get_one(Assignment, mine)
    else:
        row = _new_assignment(session, campaign, part, item, purpose, others, now)
    row.guideline_version = campaign.guideline_version
    set_lease(row, item, settings, now)
    session.flush()
    return Given(row, item, made=mine is None)


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


def set_lease(row: Assignment, item: Item, settings: CampaignSettings, now: datetime) -> None:
    """Starts a lease; the item must be locked and have room."""
    row.state, row.leased_at, row.closed_at = "leased", now, None
    row.lease_until = now + timedelta(seconds=settings.lease_s)
    if row.purpose == "normal":
        item.live_n += 1
        set_item_state(item)
