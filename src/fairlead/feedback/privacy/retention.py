"""How long things are kept, per table, and the purge of what is older."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, NonNegativeInt
from sqlalchemy import CursorResult, delete, func, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from fairlead.feedback import audit
from fairlead.feedback.permissions import Actor, Thing, require
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    ApiToken,
    Assignment,
    Draft,
    Flag,
    Invitation,
    LoginSession,
    Quality,
    Response,
    ResponseRevision,
    WebhookDelivery,
)

Days = NonNegativeInt | None
"""Days after which something goes; None to keep it."""


class Retention(BaseModel):
    """Days that things are kept.

    Answers, consent, exports and the audit chain are never purged: answers go by erasure, and the
    chain says what became of everything else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sessions: Days = 0
    """After they ended."""
    api_tokens: Days = 30
    """After they expired or were revoked."""
    invitations: Days = 30
    """After they were used or expired."""
    drafts: Days = 30
    """After the last keystroke."""
    messages: Days = 14
    """To webhooks, sent or given up."""
    flags: Days = 365
    """After they were dealt with: the note of whoever flagged."""
    skips: Days = 365
    """The note of whoever skipped."""
    times: Days = 365
    """How long people took, and with which page; in history with all else of the revision."""
    reasons: Days = None
    """Free text beside answers."""
    measurements: Days = 365
    """Stored numbers about people's work."""


class Purged(BaseModel):
    """What was purged, or would be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dry_run: bool
    rows: dict[str, int]
    """Rows by what is kept for a time; everything of `Retention` that has a limit."""
    before: dict[str, str]
    """What lies before this moment goes."""


def purge(
    store: Store,
    actor: Actor,
    retention: Retention | None = None,
    *,
    dry_run: bool = False,
    now: datetime,
) -> Purged:
    """Removes what has been kept long enough. Owners only.

    Args:
        store: the database.
        actor: who asks.
        retention: for how long things are kept.
        dry_run: only count.
        now: the time.

    Raises:
        Refused: the actor is no owner.
    """
    require(actor, "administer", Thing())
    limits = {
        name: now - timedelta(days=days)
        for name, days in (retention or Retention()).model_dump().items()
        if days is not None
    }

    def work(session: Session) -> dict[str, int]:
        rows = {name: _RULES[name](session, limit, dry_run) for name, limit in limits.items()}
        if not dry_run and any(rows.values()):
            session.flush()
            audit.record(session, now, actor.pseudonym, "purge", "store:1", rows)
        return rows

    if dry_run:
        with store.read() as session:
            rows = work(session)
    else:
        rows = store.transact(work)
    before = {name: limit.isoformat() for name, limit in limits.items()}
    return Purged(dry_run=dry_run, rows=rows, before=before)


Rule = Callable[[Session, datetime, bool], int]


def _deleted(table: type[Any], old: Callable[[datetime], ColumnElement[bool]]) -> Rule:
    """A rule that removes rows."""

    def rule(session: Session, limit: datetime, dry_run: bool) -> int:
        if dry_run:
            return session.scalar(select(func.count()).select_from(table).where(old(limit))) or 0
        return _changed(session, delete(table).where(old(limit)))

    return rule


def _emptied(
    table: type[Any], old: Callable[[datetime], ColumnElement[bool]], values: Mapping[str, Any]
) -> Rule:
    """A rule that empties fields of rows."""

    def rule(session: Session, limit: datetime, dry_run: bool) -> int:
        if dry_run:
            return session.scalar(select(func.count()).select_from(table).where(old(limit))) or 0
        return _changed(session, update(table).where(old(limit)).values(**values))

    return rule


def _both(one: Rule, other: Rule) -> Rule:
    return lambda session, limit, dry_run: (
        one(session, limit, dry_run) + other(session, limit, dry_run)
    )


def _changed(session: Session, statement: Any) -> int:
    return int(cast("CursorResult[Any]", session.execute(statement)).rowcount)


_HISTORY = {"value": None, "shown": None, "reason": None, "active_ms": None, "nonce": None}
_RULES: dict[str, Rule] = {
    "sessions": _deleted(LoginSession, lambda limit: LoginSession.expires_at < limit),
    "api_tokens": _deleted(
        ApiToken, lambda limit: or_(ApiToken.expires_at < limit, ApiToken.revoked_at < limit)
    ),
    "invitations": _deleted(
        Invitation, lambda limit: or_(Invitation.expires_at < limit, Invitation.used_at < limit)
    ),
    "drafts": _deleted(Draft, lambda limit: Draft.at < limit),
    "messages": _deleted(
        WebhookDelivery,
        lambda limit: (WebhookDelivery.created_at < limit) & (WebhookDelivery.state != "waiting"),
    ),
    "flags": _emptied(
        Flag, lambda limit: (Flag.resolved_at < limit) & (Flag.note != ""), {"note": ""}
    ),
    "skips": _emptied(
        Assignment,
        lambda limit: (Assignment.closed_at < limit) & (Assignment.skip_note != ""),
        {"skip_note": ""},
    ),
    "times": _both(
        _emptied(
            Response,
            lambda limit: (Response.revised_at < limit) & Response.active_ms.is_not(None),
            {"active_ms": None, "ui_version": ""},
        ),
        _emptied(
            ResponseRevision,
            lambda limit: (ResponseRevision.at < limit) & ResponseRevision.nonce.is_not(None),
            _HISTORY,
        ),
    ),
    "reasons": _both(
        _emptied(
            Response,
            lambda limit: (Response.revised_at < limit) & (Response.reason != ""),
            {"reason": "", "body_sha256": ""},
        ),
        _emptied(
            ResponseRevision,
            lambda limit: (ResponseRevision.at < limit) & (ResponseRevision.reason != ""),
            _HISTORY,
        ),
    ),
    "measurements": _deleted(Quality, lambda limit: Quality.at < limit),
}
