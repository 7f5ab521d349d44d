"""Items of campaigns: what is worked on, their candidates and gold, and the flags people raise."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from fairlead.core.errors import DataError
from fairlead.core.files import sha256_json
from fairlead.core.seeds import Seed
from fairlead.feedback import audit
from fairlead.feedback.campaigns import CampaignSettings, campaign_row, settings_of
from fairlead.feedback.errors import Conflict
from fairlead.feedback.permissions import LOCAL, Actor, missing
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    BIG,
    Campaign,
    Candidate,
    Flag,
    Gold,
    Item,
    Participation,
    SelectionBatch,
    Step,
    Suggestion,
)
from fairlead.feedback.work import Subject, Work, unstorable
from fairlead.records import Message, Record

ItemRole = Literal["normal", "gold", "screening"]


class NewCandidate(Record):
    """A reply to be judged."""

    text: str
    model: str = ""
    sampling: dict[str, Any] = Field(default_factory=dict)
    steps: tuple[str, ...] = ()
    """The steps of the reply, for work that judges steps."""


class NewSuggestion(Record):
    """What a model answered; replies are named by index, from 0."""

    value: dict[str, Any]
    agent: str
    question: str = ""
    score: float | None = None


class NewItem(Record):
    """One thing to be judged, as it comes from a file or a program."""

    external_id: str = Field(min_length=1, max_length=200)
    messages: tuple[Message, ...] = ()
    candidates: tuple[NewCandidate, ...] = ()
    priority: int = Field(default=0, ge=-BIG, le=BIG)
    """Larger comes first."""
    stratum: str = ""
    propensity: float = Field(default=1.0, gt=0, le=1)
    """Probability with which this item was chosen for people."""
    target: int | None = Field(default=None, ge=1, le=1000)
    """How many answers; None for the campaign's overlap."""
    role: ItemRole = "normal"
    accepted: tuple[dict[str, Any], ...] = ()
    """Right answers of gold and screening items; replies are named by index, from 0."""
    why: str = ""
    """Why they are right."""
    difficulty: float | None = None
    suggestions: tuple[NewSuggestion, ...] = ()
    meta: dict[str, Any] = Field(default_factory=dict)


class NewBatch(Record):
    """How the items of one call were selected."""

    strategy: str
    seed: int = Field(ge=0, lt=2**63)
    params: dict[str, Any] = Field(default_factory=dict)
    model_sha256: str | None = None


@dataclass(frozen=True)
class Added:
    """What became of items that were handed in."""

    added: int
    known: int
    """Items that were there already with the same content."""
    batch: int | None


@dataclass(frozen=True)
class ItemRow:
    """An item as leads see it in a list."""

    id: int
    external_id: str
    role: str
    state: str
    priority: int
    target: int
    live_n: int
    done_n: int
    skip_n: int
    stratum: str
    first_words: str


@dataclass(frozen=True)
class FlagRow:
    """A flag as leads see it."""

    id: int
    item: int
    candidate: int | None
    annotator: str
    reason: str
    note: str
    at: datetime
    resolved_at: datetime | None


def add_items(
    store: Store,
    actor: Actor,
    campaign: int,
    items: Iterable[NewItem],
    *,
    now: datetime,
    batch: NewBatch | None = None,
) -> Added:
    """Adds items, all or none.

    An item whose external id is there with the same content is counted as known, so that an
    import can be repeated.

    Raises:
        DataError: an item does not fit the kind of work; names the item.
        Conflict: an external id is there with other content.
    """
    with store.write() as session:
        row = campaign_row(session, actor, "manage", campaign)
        settings = settings_of(row)
        batch_id = None if batch is None else _new_batch(session, campaign, batch, now)
        known = _known(session, campaign)
        added = repeated = 0
        for new in items:
            content = _content(new)
            if known.get(new.external_id) == content:
                repeated += 1
                continue
            _refuse_changed(new, known)
            _add_item(session, row, settings, new, content, batch_id, now)
            known[new.external_id] = content
            added += 1
        session.flush()
        _look_from_the_start(session, campaign)
        thing = f"campaign:{campaign}"
        audit.record(session, now, actor.pseudonym, "add_items", thing, {"added": added})
    return Added(added, repeated, batch_id)


def list_items(
    store: Store,
    actor: Actor,
    campaign: int,
    *,
    state: str | None = None,
    role: ItemRole | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[ItemRow]:
    """Items in order of id, a page at a time: hand the last id over as `after`."""
    with store.read() as session:
        campaign_row(session, actor, "see_answers", campaign)
        query = select(Item).where(Item.campaign_id == campaign, Item.id > after)
        if state is not None:
            query = query.where(Item.state == state)
        if role is not None:
            query = query.where(Item.role == role)
        rows = session.scalars(query.order_by(Item.id).limit(min(limit, 1000)))
        return [_item_row(row) for row in rows]


def set_priority(
    store: Store, actor: Actor, campaign: int, items: Sequence[int], priority: int, *, now: datetime
) -> int:
    """Sets the priority of items of a campaign; returns how many were found."""
    with store.write() as session:
        campaign_row(session, actor, "manage", campaign)
        found = session.execute(
            update(Item)
            .where(Item.campaign_id == campaign, Item.id.in_(items))
            .values(rank=-priority)
            .returning(Item.id)
        ).all()
        _look_from_the_start(session, campaign)
        payload = {"items": sorted(items), "priority": priority}
        thing = f"campaign:{campaign}"
        audit.record(session, now, actor.pseudonym, "set_priority", thing, payload)
        return len(found)


def reopen_item(store: Store, actor: Actor, item: int, *, now: datetime) -> None:
    """Hands an item out again that too many people had skipped."""
    with store.write() as session:
        row = session.get(Item, item, with_for_update=True)
        if row is None:
            raise missing(f"item {item}")
        campaign_row(session, actor, "manage", row.campaign_id, name=f"item {item}")
        row.skip_n = 0
        set_item_state(row, reopen=True)
        session.flush()
        _look_from_the_start(session, row.campaign_id)
        audit.record(session, now, actor.pseudonym, "reopen_item", f"item:{item}")


def list_flags(
    store: Store, actor: Actor, campaign: int, *, open_only: bool = True
) -> list[FlagRow]:
    """What people flagged, oldest first."""
    with store.read() as session:
        campaign_row(session, actor, "see_answers", campaign)
        query = select(Flag).where(Flag.campaign_id == campaign).order_by(Flag.id)
        if open_only:
            query = query.where(Flag.resolved_at.is_(None))
        return [
            FlagRow(
                one.id,
                one.item_id,
                one.candidate_id,
                one.annotator_id,
                one.reason,
                one.note,
                one.at,
                one.resolved_at,
            )
            for one in session.scalars(query)
        ]


def resolve_flag(store: Store, actor: Actor, flag: int, *, now: datetime) -> None:
    """Marks a flag as dealt with."""
    with store.write() as session:
        row = session.get(Flag, flag)
        if row is None:
            raise missing(f"flag {flag}")
        campaign_row(session, actor, "manage", row.campaign_id, name=f"flag {flag}")
        row.resolved_at = row.resolved_at or now
        session.flush()
        audit.record(session, now, actor.pseudonym, "resolve_flag", f"flag:{flag}")


def item_named(session: Session, campaign: Campaign, new: NewItem, *, now: datetime) -> Item:
    """The item of this external id; added if there is none.

    Raises:
        DataError: it does not fit the kind of work.
        Conflict: it is there with other content.
    """
    query = select(Item).where(Item.campaign_id == campaign.id, Item.external_id == new.external_id)
    content, found = _content(new), session.scalar(query)
    if found is None:
        _add_item(session, campaign, settings_of(campaign), new, content, None, now)
        thing = f"campaign:{campaign.id}"
        audit.record(session, now, LOCAL.pseudonym, "add_items", thing, {"added": 1})
        return session.scalars(query).one()
    if found.content_sha256 != content:
        _refuse_changed(new, {new.external_id: found.content_sha256})
    return found


def subject_of(session: Session, candidates: Sequence[int], work: Work) -> Subject:
    """What an answer to an item with these candidates is about."""
    steps: Sequence[str] = ()
    if work.needs_steps:
        query = select(Step.text).where(Step.candidate_id.in_(candidates)).order_by(Step.idx)
        steps = session.scalars(query).all()
    return Subject(tuple(candidates), tuple(steps))


def set_item_state(item: Item, *, reopen: bool = False) -> None:
    """Sets an item's state from its counters; a dropped one stays so until it is reopened."""
    if item.state == "dropped" and not reopen:
        return
    if item.role != "normal":
        return
    if item.done_n >= item.target:
        item.state = "done"
    elif item.done_n + item.live_n >= item.target:
        item.state = "full"
    else:
        item.state = "open"


def _item_row(row: Item) -> ItemRow:
    first = next((m["content"] for m in row.messages if m["role"] == "user"), "")
    return ItemRow(
        row.id,
        row.external_id,
        row.role,
        row.state,
        -row.rank,
        row.target,
        row.live_n,
        row.done_n,
        row.skip_n,
        row.stratum,
        first[:120],
    )


def _new_batch(session: Session, campaign: int, batch: NewBatch, now: datetime) -> int:
    row = SelectionBatch(campaign_id=campaign, created_at=now, **batch.model_dump())
    session.add(row)
    session.flush()
    return row.id


def _known(session: Session, campaign: int) -> dict[str, str]:
    query = select(Item.external_id, Item.content_sha256).where(Item.campaign_id == campaign)
    return dict(session.execute(query).tuples().all())


def _content(new: NewItem) -> str:
    return sha256_json(
        new.model_dump(mode="json", include={"messages", "candidates", "role", "accepted"})
    )


def _refuse_changed(new: NewItem, known: Mapping[str, str]) -> None:
    if new.external_id in known:
        raise Conflict(
            "an item of this external id is there with other content",
            where=f"item {new.external_id}",
            remedy="give changed items a new external id; answers belong to what was shown",
        )


def _look_from_the_start(session: Session, campaign: int) -> None:
    """Claims look behind the item claimed last; new or moved items may lie before it."""
    session.execute(
        update(Participation)
        .where(Participation.campaign_id == campaign)
        .values(cursor_rank=None, cursor_item=None)
    )


def _add_item(
    session: Session,
    campaign: Campaign,
    settings: CampaignSettings,
    new: NewItem,
    content: str,
    batch: int | None,
    now: datetime,
) -> None:
    check_item(settings.work, new)
    messages = [message.model_dump(mode="json") for message in new.messages]
    item = Item(
        campaign_id=campaign.id,
        external_id=new.external_id,
        messages=messages,
        content_sha256=content,
        prompt_sha256=sha256_json(messages),
        role=new.role,
        rank=-new.priority,
        target=new.target or settings.overlap,
        stratum=new.stratum,
        propensity=new.propensity,
        batch_id=batch,
        meta=new.meta,
        created_at=now,
    )
    session.add(item)
    session.flush()
    ids = _add_candidates(session, campaign, item, new)
    if new.role != "normal":
        _add_gold(session, settings.work, item, new, ids)
    for one in new.suggestions:
        value = settings.work.renamed(one.value, lambda idx: ids[idx])
        data = one.model_dump(exclude={"value"})
        session.add(Suggestion(item_id=item.id, value=value, created_at=now, **data))


def _add_candidates(
    session: Session, campaign: Campaign, item: Item, new: NewItem
) -> tuple[int, ...]:
    # Numbers below 2**53 survive JavaScript.
    seed = Seed(campaign.seed).child("candidate", campaign.id, item.external_id)
    ids = tuple(seed.child(idx).value >> 10 for idx in range(len(new.candidates)))
    for idx, (number, one) in enumerate(zip(ids, new.candidates, strict=True)):
        digest = hashlib.sha256(one.text.encode()).hexdigest()
        session.add(
            Candidate(
                id=number,
                item_id=item.id,
                idx=idx,
                text=one.text,
                model=one.model,
                sampling=one.sampling,
                sha256=digest,
            )
        )
    session.flush()
    for number, one in zip(ids, new.candidates, strict=True):
        for idx, text in enumerate(one.steps):
            session.add(Step(candidate_id=number, idx=idx, text=text))
    return ids


def _add_gold(session: Session, work: Work, item: Item, new: NewItem, ids: tuple[int, ...]) -> None:
    try:
        accepted = [work.renamed(dict(value), lambda idx: ids[idx]) for value in new.accepted]
    except (IndexError, KeyError, TypeError) as error:
        raise _bad_item(new, f"an accepted answer names no reply of this item ({error})") from error
    session.add(Gold(item_id=item.id, accepted=accepted, why=new.why, difficulty=new.difficulty))


def check_item(work: Work, new: NewItem) -> None:
    """Whether an item fits the work.

    Raises:
        DataError: it does not; says why.
    """
    n = len(new.candidates)
    if not work.fewest <= n <= work.most:
        several = f"{work.fewest} to {work.most}" if work.fewest < work.most else str(work.most)
        raise _bad_item(new, f"{n} replies; this work takes {several}")
    if work.needs_steps and not new.candidates[0].steps:
        raise _bad_item(new, "the reply has no steps")
    if new.role != "normal" and not new.accepted:
        raise _bad_item(new, f"a {new.role} item without accepted answers")
    for value in new.accepted:
        why = work.gold_problem(value, Subject(tuple(range(n))))
        if why:
            raise _bad_item(new, why)
    texts = [message.content for message in new.messages]
    texts += [text for one in new.candidates for text in (one.text, one.model, *one.steps)]
    if any(unstorable(text) for text in (new.external_id, new.stratum, new.why, *texts)):
        raise _bad_item(new, "a text with NUL or half of a surrogate pair")


def _bad_item(new: NewItem, why: str) -> DataError:
    return DataError("an item does not fit this work", where=f"item {new.external_id}", got=why)
