"""Answers: sent once or many times, late, revised, undone; none is ever lost."""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from fairlead.core.errors import DataError
from fairlead.core.files import sha256_json
from fairlead.feedback import audit
from fairlead.feedback.assignment import lease_again, lock_own
from fairlead.feedback.campaign_items import set_item_state, subject_of
from fairlead.feedback.campaigns import CampaignSettings, settings_of
from fairlead.feedback.errors import AnswerConflict, Conflict
from fairlead.feedback.permissions import Actor, Thing, missing, require
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    BIG,
    Assignment,
    Campaign,
    Draft,
    Gold,
    Item,
    Participation,
    Response,
    ResponseRevision,
)
from fairlead.feedback.work import Value, texts_in, unstorable

WINDOW = 10
"""A person's last answers in a campaign can be revised and undone."""
LONGEST_DRAFT = 200_000
"""Characters of a draft as JSON."""


@dataclass(frozen=True)
class Receipt:
    """What became of an answer."""

    response: int
    revision: int
    status: Literal["stored", "same", "revised", "late"]
    """`same`: it had arrived before; `late`: kept, but its place had gone to somebody else."""


@dataclass(frozen=True)
class RecentAnswer:
    """One of a person's last answers."""

    response: int
    assignment: int
    value: Value | None
    shown: Value | None
    """The same in positions of the order that the person saw."""
    state: str
    submitted_at: datetime
    first_words: str


def submit(
    store: Store,
    actor: Actor,
    assignment: int,
    *,
    client_key: str,
    value: Any,
    reason: str = "",
    active_ms: int | None = None,
    ui_version: str = "",
    markdown: bool = False,
    now: datetime,
) -> Receipt:
    """Stores an answer, once, however often it is sent.

    The same key and content again changes nothing. Other content is a revision while the answer is
    among the person's last ten. An answer after the lease counts if its place is still free, and
    is kept beside the others if not.

    Args:
        store: the database.
        actor: who answers.
        assignment: their task.
        client_key: the key that came with the task.
        value: the answer in the schema of the kind of work, in candidate ids.
        reason: why, in free text.
        active_ms: milliseconds at work, with the page in sight.
        ui_version: version of the page that sent it.
        markdown: whether replies were shown as Markdown.
        now: the time.

    Raises:
        InvalidAnswer: it does not fit the task; nothing is stored.
        AnswerConflict: another answer is stored and can no longer be revised; shows both.
        Conflict: the key is not that of the task.
        Missing: the task is not theirs.
    """
    extras = {
        "active_ms": None if active_ms is None else max(0, min(int(active_ms), BIG)),
        "ui_version": ui_version[:64] if not unstorable(ui_version) else "",
        "markdown": markdown,
    }

    def keep(session: Session) -> Receipt:
        row, part, campaign = lock_own(session, actor, assignment)
        if not secrets.compare_digest(row.client_key.encode(), client_key.encode()):
            raise Conflict(
                "the answer belongs to another task",
                where=f"assignment {assignment}",
                remedy="load the task again; what was typed is kept as a draft",
            )
        settings = settings_of(campaign)
        subject = subject_of(session, row.order, settings.work)
        answer = settings.work.check(value, subject, reason=reason)
        sent = _Sent(answer, reason, extras, now)
        asked = {"item": row.item_id, "assignment": row.id}
        item, stored, draft = session.execute(_PLACE, asked).one()
        if stored is not None and stored.state in ("counted", "late"):
            return _again(session, campaign, settings, row, part, stored, sent)
        if draft is not None:
            session.delete(draft)
        return _first(session, campaign, settings, row, part, item, stored, sent)

    return store.transact(keep)


def undo(store: Store, actor: Actor, response: int, *, now: datetime) -> int:
    """Takes an answer back: it no longer counts, its text is a draft, the task is leased again.

    Returns:
        The assignment, to be answered anew.

    Raises:
        Missing: the answer is not theirs.
        Conflict: it is not among their last ten, or the campaign is closed.
    """

    def take_back(session: Session) -> int:
        found = session.get(Response, response)
        name = f"response {response}"
        if found is None:
            raise missing(name)
        require(actor, "work", Thing(owner=found.annotator_id, name=name))
        row, part, campaign = lock_own(session, actor, found.assignment_id)
        session.refresh(found, with_for_update=True)
        _refuse_undo(session, campaign, found)
        _take_back(session, settings_of(campaign), row, part, found, now)
        return row.id

    return store.transact(take_back)


def last_answers(store: Store, actor: Actor, campaign: int) -> list[RecentAnswer]:
    """A person's last ten answers in a campaign, newest first: those that can be undone."""
    with store.read() as session:
        query = (
            select(Response, Item.messages)
            .join(Item, Response.item_id == Item.id)
            .where(Response.id.in_(_window(session, actor.pseudonym, campaign)))
            .order_by(Response.id.desc())
        )
        return [
            RecentAnswer(
                one.id,
                one.assignment_id,
                one.value,
                one.shown,
                one.state,
                one.submitted_at,
                next((m["content"][:120] for m in messages if m["role"] == "user"), ""),
            )
            for one, messages in session.execute(query)
        ]


def save_draft(
    store: Store, actor: Actor, assignment: int, value: dict[str, Any], seq: int, *, now: datetime
) -> int:
    """Keeps what was typed so far; an older draft never replaces a newer one.

    Returns:
        The number of the draft that is kept now.

    Raises:
        DataError: too long, or a text that cannot be stored.
        Missing: the task is not theirs.
    """
    too_long = len(json.dumps(value)) > LONGEST_DRAFT
    if too_long or any(unstorable(text) for _, text in texts_in(value)):
        raise DataError(
            "the draft cannot be stored", expected=f"JSON of at most {LONGEST_DRAFT} characters"
        )

    def keep(session: Session) -> int:
        row, _, _ = lock_own(session, actor, assignment)
        draft = session.get(Draft, row.id)
        if row.state == "submitted":
            return 0 if draft is None else draft.seq
        if draft is None:
            session.add(Draft(assignment_id=row.id, value=value, seq=seq, at=now))
            return seq
        if seq > draft.seq:
            draft.value, draft.seq, draft.at = value, seq, now
        return draft.seq

    return store.transact(keep)


# Parts

_PLACE = (
    select(Item, Response, Draft)
    .select_from(Item)
    .outerjoin(Response, Response.assignment_id == bindparam("assignment"))
    .outerjoin(Draft, Draft.assignment_id == bindparam("assignment"))
    .where(Item.id == bindparam("item"))
    .with_for_update(of=Item)
)
"""Where an answer goes: its item, which is locked now, and what the person left there before."""


@dataclass(frozen=True)
class _Sent:
    """A checked answer on its way in."""

    value: Value
    reason: str
    extras: dict[str, Any]
    now: datetime

    @property
    def digest(self) -> str:
        return sha256_json([self.value, self.reason])


def _first(
    session: Session,
    campaign: Campaign,
    settings: CampaignSettings,
    row: Assignment,
    part: Participation,
    item: Item,
    stored: Response | None,
    sent: _Sent,
) -> Receipt:
    """Stores an answer where none counts: the first, or the one after an undo."""
    if stored is not None and stored.state == "withdrawn":
        raise AnswerConflict.between(None, sent.value, "you withdrew your work; nothing is stored")
    late = row.state != "leased" or row.lease_until <= sent.now
    counted = _take_place(campaign, row, item)
    row.state, row.closed_at = "submitted", sent.now
    response = stored or _blank(row, sent.now)
    response.late, response.state = late, "counted" if counted else "late"
    response.revision = 1 if stored is None else stored.revision + 1
    part.done_n += 1
    _fill(session, settings, row, response, sent)
    _count_gold(part, row, response, +1)
    _remember(session, response, "submit", sent)
    return Receipt(response.id, response.revision, "stored" if counted else "late")


def _again(
    session: Session,
    campaign: Campaign,
    settings: CampaignSettings,
    row: Assignment,
    part: Participation,
    stored: Response,
    sent: _Sent,
) -> Receipt:
    """The key has an answer already: the same one, or a revision of it."""
    if stored.body_sha256 == sent.digest:
        return Receipt(stored.id, stored.revision, "same")
    window = _window(session, stored.annotator_id, stored.campaign_id)
    if stored.id not in window or campaign.state == "closed":
        raise AnswerConflict.between(
            stored.value, sent.value, f"only the last {WINDOW} answers can be changed; ask a lead"
        )
    _count_gold(part, row, stored, -1)
    stored.revision += 1
    _fill(session, settings, row, stored, sent)
    _count_gold(part, row, stored, +1)
    _remember(session, stored, "revise", sent)
    return Receipt(stored.id, stored.revision, "revised")


def _blank(row: Assignment, now: datetime) -> Response:
    return Response(
        assignment_id=row.id,
        client_key=row.client_key,
        campaign_id=row.campaign_id,
        item_id=row.item_id,
        annotator_id=row.annotator_id,
        submitted_at=now,
    )


def _take_place(campaign: Campaign, row: Assignment, item: Item) -> bool:
    """Whether the answer counts towards the item's target; updates the item's counters."""
    if row.purpose != "normal":
        return True
    if row.state == "leased":
        item.live_n -= 1
    elif campaign.state == "closed" or item.done_n + item.live_n >= item.target:
        return False
    item.done_n += 1
    set_item_state(item)
    return True


def _fill(
    session: Session, settings: CampaignSettings, row: Assignment, response: Response, sent: _Sent
) -> None:
    """Writes an answer into its row, in ids and in positions."""
    position = {candidate: i for i, candidate in enumerate(row.order)}
    response.value = sent.value
    response.shown = settings.work.renamed(sent.value, lambda one: position[one])
    kind = settings.work.kind
    response.tie = sent.value["preferred"] is None if kind == "pairwise" else None
    response.strength = sent.value["strength"] if kind == "pairwise" else None
    response.reason, response.body_sha256 = sent.reason, sent.digest
    response.active_ms = sent.extras["active_ms"]
    response.ui_version, response.markdown = sent.extras["ui_version"], sent.extras["markdown"]
    response.guideline_version, response.revised_at = row.guideline_version, sent.now
    gold = session.get(Gold, row.item_id) if row.purpose in ("gold", "screening") else None
    response.gold_right = None if gold is None else settings.work.accepts(gold.accepted, sent.value)
    session.add(response)
    session.flush()


def _count_gold(part: Participation, row: Assignment, response: Response, sign: int) -> None:
    if row.purpose == "gold":
        part.gold_n += sign
        part.gold_right += sign * bool(response.gold_right)
    if row.purpose == "screening":
        part.screening_n += sign
        part.screening_right += sign * bool(response.gold_right)


def _remember(session: Session, response: Response, cause: str, sent: _Sent) -> None:
    """Appends to the history and to the audit chain."""
    nonce = secrets.token_hex(16)
    session.add(
        ResponseRevision(
            response_id=response.id,
            revision=response.revision,
            cause=cause,
            value=response.value,
            shown=response.shown,
            reason=response.reason,
            active_ms=response.active_ms,
            nonce=nonce,
            at=sent.now,
        )
    )
    session.flush()
    payload = [nonce, response.value, response.reason]
    thing = f"response:{response.id}.{response.revision}"
    audit.record(session, sent.now, response.annotator_id, cause, thing, payload)


def _window(session: Session, annotator: str, campaign: int) -> list[int]:
    """The person's last answers in a campaign."""
    query = (
        select(Response.id)
        .where(
            Response.annotator_id == annotator,
            Response.campaign_id == campaign,
            Response.state.in_(("counted", "late")),
        )
        .order_by(Response.id.desc())
        .limit(WINDOW)
    )
    return list(session.scalars(query))


def _refuse_undo(session: Session, campaign: Campaign, response: Response) -> None:
    if response.id not in _window(session, response.annotator_id, response.campaign_id):
        raise Conflict(
            "this answer can no longer be undone",
            where=f"response {response.id}",
            expected=f"one of your last {WINDOW} answers",
        )
    if campaign.state == "closed":
        raise Conflict("the campaign is closed", where=f"campaign {campaign.id}")


def _take_back(
    session: Session,
    settings: CampaignSettings,
    row: Assignment,
    part: Participation,
    response: Response,
    now: datetime,
) -> None:
    part.done_n -= 1
    _count_gold(part, row, response, -1)
    item = session.get_one(Item, row.item_id, with_for_update=True)
    if row.purpose == "normal" and response.state == "counted":
        item.done_n -= 1
    session.flush()
    lease_again(session, row, settings, now)
    typed = {**(response.value or {}), "reason": response.reason}
    session.merge(Draft(assignment_id=row.id, value=typed, seq=0, at=now))
    _empty(response)
    response.state, response.revised_at = "undone", now
    response.revision += 1
    session.flush()
    _remember(session, response, "undo", _Sent({}, "", {}, now))


def _empty(response: Response) -> None:
    response.value = response.shown = response.tie = response.strength = None
    response.gold_right = response.active_ms = None
    response.reason = response.body_sha256 = ""
