"""Erasure on request: "forget me" takes the person away, "withdraw my work" the work.

Ids, hashes and that something was erased remain, so the audit chain stays whole.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict
from sqlalchemy import CursorResult, delete, select, text, update
from sqlalchemy.orm import Session

from fairlead.core.errors import DataError
from fairlead.feedback import audit
from fairlead.feedback.campaign_items import set_item_state
from fairlead.feedback.permissions import Actor, Thing, missing, require
from fairlead.feedback.privacy.affected import Affected, affected_stages
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    Account,
    Annotator,
    ApiToken,
    Assignment,
    DatasetExport,
    Draft,
    Erasure,
    ExportMember,
    Flag,
    Invitation,
    Item,
    LoginSession,
    Membership,
    Participation,
    Quality,
    Response,
    ResponseRevision,
    WebhookDelivery,
)

Kind = Literal["forget", "withdraw"]

WIPED = ("account", "annotator", "assignment", "draft", "flag", "response", "response_revision")
WIPED += ("session", "api_token", "quality", "webhook_delivery", "dataset_export", "participation")
"""Tables whose old pages are rewritten after an erasure."""
_TRUNCATE = "PRAGMA wal_checkpoint(TRUNCATE)"


class AffectedExport(BaseModel):
    """An export that holds a person's answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    export: int
    path: str
    format: str
    answers: int
    hashes: dict[str, str]
    """What it is, by hash: its files, and the folder of its records."""
    rebuild: bool
    """Whether it can be made anew in its place; a run's must be made by running again."""


class ErasureReport(BaseModel):
    """What was erased, and what it had gone into."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    annotator: str
    counts: dict[str, int]
    """Rows by what they are."""
    exports: tuple[AffectedExport, ...]
    """Copies outside the store; withdrawn work is in them until they are made anew."""
    affected: Affected | None
    """What runs made of these exports; None where no runs were named."""


def forget_me(
    store: Store,
    actor: Actor,
    annotator: str | None = None,
    *,
    texts: bool = False,
    runs: Iterable[Path] = (),
    now: datetime,
) -> ErasureReport:
    """Erases who a person is: account, sessions, tokens, groups, memberships, drafts, times.

    Their answers stay, under a pseudonym that leads to nobody.

    Args:
        store: the database.
        actor: who asks; one may forget oneself, owners anybody.
        annotator: pseudonym; None for the one who asks.
        texts: whether free text that they wrote beside answers goes, too.
        runs: folders in which to look for models that their answers went into.
        now: the time.

    Raises:
        Missing: no such person.
        Refused: the actor may not.
    """
    return _erased(store, actor, annotator, "forget", texts, runs, now)


def withdraw_work(
    store: Store,
    actor: Actor,
    annotator: str | None = None,
    *,
    runs: Iterable[Path] = (),
    now: datetime,
) -> ErasureReport:
    """Takes a person's work out: answers and their history, drafts, flags, notes, measurements.

    Items that lack their answers now are handed out again. Exports that hold them become stale.
    The account stays; `forget_me` is the other action.

    Args:
        store: the database.
        actor: who asks; one may withdraw one's own work, owners anybody's.
        annotator: pseudonym; None for the one who asks.
        runs: folders in which to look for models that their answers went into.
        now: the time.

    Raises:
        Missing: no such person.
        Refused: the actor may not.
    """
    return _erased(store, actor, annotator, "withdraw", True, runs, now)


def wipe(store: Store) -> None:
    """Rewrites the database without the pages on which erased rows stood.

    Takes a moment and, on PostgreSQL, keeps others out of the tables meanwhile. Back-ups, and
    write-ahead logs that were archived, are not reached.
    """
    if store.dialect == "sqlite":
        # Not through SQLAlchemy, which would begin a transaction.
        connection = store.engine.raw_connection()
        try:
            for command in (_TRUNCATE, "VACUUM", _TRUNCATE):
                connection.cursor().execute(command)
        finally:
            connection.close()
        return
    options = {"isolation_level": "AUTOCOMMIT"}
    with store.engine.connect().execution_options(**options) as connection:
        for table in WIPED:
            # The planner's statistics hold samples of values, so they are taken anew.
            connection.execute(text(f'VACUUM (FULL, ANALYZE) "{table}"'))


def pseudonym_of(store: Store, actor: Actor, name: str) -> str:
    """The pseudonym of a person who is named by pseudonym or login.

    Raises:
        Missing: no such person, or not to be named by login by this actor.
    """
    with store.read() as session:
        if session.get(Annotator, name) is not None:
            return name
        require(actor, "see_identity", Thing())
        query = select(Annotator.id).join(Account, Annotator.account_id == Account.id)
        found = session.scalar(query.where(Account.login == name.strip().lower()))
    if found is None:
        raise missing(f"person {name}")
    return found


# Parts


def _erased(
    store: Store,
    actor: Actor,
    annotator: str | None,
    kind: Kind,
    texts: bool,
    runs: Iterable[Path],
    now: datetime,
) -> ErasureReport:
    who = annotator or actor.pseudonym
    own = Thing(owner=who, name=f"annotator {who}")
    require(actor, "erase_own" if who == actor.pseudonym else "erase_others", own)
    runs = list(runs)
    for folder in runs:
        if not folder.is_dir():
            raise DataError("no such folder", where=str(folder), remedy="nothing was erased")

    def erase(session: Session) -> tuple[dict[str, int], tuple[AffectedExport, ...]]:
        person = session.get(Annotator, who, with_for_update=True)
        if person is None:
            raise missing(f"annotator {who}")
        _lock_participations(session, who)
        exports = tuple(_affected(session, row, who) for row in _exports_of(session, who))
        action = _forget if kind == "forget" else _withdraw
        counts = action(session, person, now, texts)
        if kind == "withdraw" or texts:
            _mark_stale(session, exports, now, f"{kind}: {who}")
        session.add(
            Erasure(
                annotator_id=who,
                kind=kind,
                by=actor.pseudonym,
                at=now,
                counts=counts,
                affected=[{"export": one.export, "sha256": one.hashes} for one in exports],
            )
        )
        session.flush()
        audit.record(session, now, actor.pseudonym, f"erase_{kind}", f"annotator:{who}", counts)
        return counts, exports

    counts, exports = store.transact(erase)
    hashes = {digest: name for one in exports for name, digest in _names(one).items()}
    found = affected_stages(hashes, runs) if runs else None
    return ErasureReport(kind=kind, annotator=who, counts=counts, exports=exports, affected=found)


def _lock_participations(session: Session, who: str) -> None:
    query = select(Participation).where(Participation.annotator_id == who)
    session.scalars(query.order_by(Participation.campaign_id).with_for_update()).all()


def _forget(session: Session, person: Annotator, now: datetime, texts: bool) -> dict[str, int]:
    """Identity, access, telemetry, and what was never sent."""
    who = person.id
    counts = _release(session, who, now) | _remove_traces(session, who)
    counts["memberships"] = _rows(session, delete(Membership).where(Membership.annotator_id == who))
    counts["account"] = _remove_account(session, person)
    person.groups, person.content_opt_out = {}, False
    person.state = "forgotten"
    counts["times of answers"] = _rows(
        session,
        update(Response).where(Response.annotator_id == who).values(active_ms=None, ui_version=""),
    )
    # History holds times beside content, and a row of it can only be emptied as a whole.
    counts["history"] = _empty_history(session, who)
    if texts:
        counts |= _remove_notes(session, who)
        counts["reasons"] = _rows(
            session,
            update(Response)
            .where(Response.annotator_id == who, Response.reason != "")
            .values(reason="", body_sha256=""),
        )
    session.flush()
    return counts


def _withdraw(session: Session, person: Annotator, now: datetime, texts: bool) -> dict[str, int]:
    """All content that the person made."""
    who = person.id
    counts = _release(session, who, now) | _remove_traces(session, who)
    counts |= _remove_notes(session, who)
    counts["flags"] = _rows(session, delete(Flag).where(Flag.annotator_id == who))
    responses = session.scalars(
        select(Response)
        .where(Response.annotator_id == who, Response.state != "withdrawn")
        .order_by(Response.item_id)
    ).all()
    for response in responses:
        _take_out(session, response, now)
    session.execute(
        update(Participation)
        .where(Participation.annotator_id == who)
        .values(done_n=0, gold_n=0, gold_right=0, screening_right=0, paused_why="")
    )
    session.flush()
    counts["answers"] = len(responses)
    counts["history"] = _empty_history(session, who)
    return counts


def _take_out(session: Session, response: Response, now: datetime) -> None:
    """Leaves an empty row where an answer was, and its place on the item to somebody else."""
    assignment = session.get_one(Assignment, response.assignment_id, with_for_update=True)
    if assignment.purpose == "normal" and response.state == "counted":
        item = session.get_one(Item, response.item_id, with_for_update=True)
        item.done_n -= 1
        set_item_state(item)
    assignment.state = "revoked"
    response.value = response.shown = response.tie = response.strength = None
    response.gold_right = response.active_ms = None
    response.reason = response.body_sha256 = response.ui_version = ""
    response.state, response.revised_at = "withdrawn", now
    response.revision += 1
    session.flush()
    session.add(
        ResponseRevision(
            response_id=response.id,
            revision=response.revision,
            cause="withdraw",
            value=None,
            shown=None,
            reason=None,
            active_ms=None,
            nonce=None,
            at=now,
        )
    )


def _release(session: Session, who: str, now: datetime) -> dict[str, int]:
    """Gives tasks in hand to others."""
    leased = session.scalars(
        select(Assignment)
        .where(Assignment.annotator_id == who, Assignment.state == "leased")
        .order_by(Assignment.item_id)
        .with_for_update()
    ).all()
    for row in leased:
        if row.purpose == "normal":
            item = session.get_one(Item, row.item_id, with_for_update=True)
            item.live_n -= 1
            set_item_state(item)
        row.state, row.closed_at = "revoked", now
    session.flush()
    return {"tasks in hand": len(leased)}


def _remove_traces(session: Session, who: str) -> dict[str, int]:
    """Drafts, measurements of the person, and messages about them that wait to be sent."""
    own = select(Assignment.id).where(Assignment.annotator_id == who)
    sent = session.scalars(select(WebhookDelivery))
    told = [one.id for one in sent if who in str(one.payload)]
    return {
        "drafts": _rows(session, delete(Draft).where(Draft.assignment_id.in_(own))),
        "measurements": _rows(session, delete(Quality).where(Quality.annotator_id == who)),
        "messages": _rows(session, delete(WebhookDelivery).where(WebhookDelivery.id.in_(told))),
    }


def _remove_notes(session: Session, who: str) -> dict[str, int]:
    skipped = update(Assignment).where(Assignment.annotator_id == who, Assignment.skip_note != "")
    flagged = update(Flag).where(Flag.annotator_id == who, Flag.note != "")
    return {
        "notes on skips": _rows(session, skipped.values(skip_note="")),
        "notes on flags": _rows(session, flagged.values(note="")),
    }


def _empty_history(session: Session, who: str) -> int:
    """Empties the person's history; the nonce goes, so the chain's hashes say nothing any more."""
    own = select(Response.id).where(Response.annotator_id == who)
    return _rows(
        session,
        update(ResponseRevision)
        .where(ResponseRevision.response_id.in_(own), ResponseRevision.nonce.is_not(None))
        .values(value=None, shown=None, reason=None, active_ms=None, nonce=None),
    )


def _remove_account(session: Session, person: Annotator) -> int:
    account = person.account_id
    if account is None:
        return 0
    person.account_id = None
    session.flush()
    for table in (LoginSession, ApiToken, Invitation):
        session.execute(delete(table).where(table.account_id == account))
    return _rows(session, delete(Account).where(Account.id == account))


def _exports_of(session: Session, who: str) -> list[DatasetExport]:
    own = (
        select(ExportMember.export_id)
        .join(Response, ExportMember.response_id == Response.id)
        .where(Response.annotator_id == who)
    )
    query = select(DatasetExport).where(DatasetExport.id.in_(own))
    return list(session.scalars(query.order_by(DatasetExport.id)))


def _mark_stale(
    session: Session, exports: Iterable[AffectedExport], now: datetime, why: str
) -> None:
    session.execute(
        update(DatasetExport)
        .where(DatasetExport.id.in_([one.export for one in exports]))
        .where(DatasetExport.stale_at.is_(None))
        .values(stale_at=now, stale_why=why)
    )


def _affected(session: Session, row: DatasetExport, who: str) -> AffectedExport:
    members = (
        select(Response.id)
        .join(ExportMember, ExportMember.response_id == Response.id)
        .where(ExportMember.export_id == row.id, Response.annotator_id == who)
    )
    files: Mapping[str, str] = row.manifest["files"]
    return AffectedExport(
        export=row.id,
        path=row.path,
        format=row.format,
        answers=len(session.scalars(members).all()),
        hashes={**{n: d for n, d in files.items() if n.endswith(".jsonl")}, "records": row.sha256},
        rebuild=row.manifest["layout"] == "folder",
    )


def _names(export: AffectedExport) -> dict[str, str]:
    """The export's hashes by what they are, in words."""
    return {f"export {export.export}, {name}": digest for name, digest in export.hashes.items()}


def _rows(session: Session, statement: Any) -> int:
    """How many rows a statement changed."""
    done = cast("CursorResult[Any]", session.execute(statement))
    return int(done.rowcount)
