"""What annotators do: get a task, answer it, skip it, flag it, take an answer back."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field

from fairlead.feedback import answers, assignment, progress
from fairlead.feedback.answers import Receipt, RecentAnswer
from fairlead.feedback.assignment import FLAG_REASONS, SKIP_REASONS, Lease, Nothing
from fairlead.feedback.http.api.common import BIG, Id, part
from fairlead.feedback.http.visits import Database, Now, Visitor, need_scope
from fairlead.feedback.progress import OwnProgress
from fairlead.feedback.shown_tasks import Task
from fairlead.records import Record

router = part("work")


class Claimed(Record):
    """A task, or why there is none."""

    task: Task | None = None
    why: Literal["empty", "not_open", "waiting", "consent", "opted_out"] | None = None
    text: str = ""


class Sent(Record):
    """An answer to a task."""

    client_key: Annotated[str, Field(max_length=64)]
    """The key that came with the task; makes sending an answer twice harmless."""
    value: dict[str, Any]
    """In the schema of the kind of work, with candidate ids."""
    reason: str = ""
    active_ms: Annotated[int | None, Field(ge=0, le=BIG)] = None
    ui_version: Annotated[str, Field(max_length=64)] = ""
    markdown: bool = False


class SentDraft(Record):
    """What was typed so far."""

    value: dict[str, Any]
    seq: Annotated[int, Field(ge=0, le=BIG)]
    """Grows with every draft; an older one never replaces a newer one."""


class KeptDraft(Record):
    """Which draft is kept now."""

    seq: int


class Skip(Record):
    """Why a task is given to others."""

    reason: Annotated[str, Field(json_schema_extra={"enum": list(SKIP_REASONS)})]
    note: str = ""


class NewFlag(Record):
    """What is wrong with an item or one of its replies."""

    reason: Annotated[str, Field(json_schema_extra={"enum": list(FLAG_REASONS)})]
    note: str = ""
    candidate: Annotated[int | None, Field(ge=0, le=2**53)] = None


class Flagged(Record):
    """The flag that was made."""

    flag: int


class Undone(Record):
    """The task whose answer was taken back."""

    assignment: int


@router.post("/campaigns/{campaign}/claim")
def claim(
    store: Database,
    visit: Visitor,
    now: Now,
    campaign: Id,
    another: Annotated[bool, Query(description="A second task, to have it ready.")] = False,
) -> Claimed:
    """Your next task: the one that you hold, or a new one. The server chooses."""
    found = assignment.claim(store, visit.actor, campaign, now=now, another=another)
    if isinstance(found, Nothing):
        return Claimed(why=found.why, text=found.text)
    return Claimed(task=found)


@router.get("/assignments/{number}")
def task(store: Database, visit: Visitor, number: Id) -> Task:
    """One of your tasks, with the draft or the answer."""
    return assignment.task(store, visit.actor, number)


@router.post("/assignments/{number}/heartbeat")
def heartbeat(store: Database, visit: Visitor, now: Now, number: Id) -> Lease:
    """Keep a task while you are at work on it."""
    return assignment.heartbeat(store, visit.actor, number, now=now)


@router.post("/assignments/{number}/release", status_code=204)
def release(store: Database, visit: Visitor, now: Now, number: Id) -> None:
    """Give a task back unanswered."""
    assignment.release(store, visit.actor, number, now=now)


@router.put("/assignments/{number}/answer")
def submit(store: Database, visit: Visitor, now: Now, number: Id, body: Sent) -> Receipt:
    """Answer a task. Send it again as often as you like: it is stored once."""
    return answers.submit(
        store,
        visit.actor,
        number,
        client_key=body.client_key,
        value=body.value,
        reason=body.reason,
        active_ms=body.active_ms,
        ui_version=body.ui_version,
        markdown=body.markdown,
        now=now,
    )


@router.put("/assignments/{number}/draft")
def save_draft(store: Database, visit: Visitor, now: Now, number: Id, body: SentDraft) -> KeptDraft:
    """Keep what was typed so far."""
    kept = answers.save_draft(store, visit.actor, number, body.value, body.seq, now=now)
    return KeptDraft(seq=kept)


@router.post("/assignments/{number}/skip", status_code=204)
def skip(store: Database, visit: Visitor, now: Now, number: Id, body: Skip) -> None:
    """Let others do a task."""
    assignment.skip(store, visit.actor, number, body.reason, note=body.note, now=now)


@router.post("/assignments/{number}/flag", status_code=201)
def flag(store: Database, visit: Visitor, now: Now, number: Id, body: NewFlag) -> Flagged:
    """Tell the leads that something is wrong with a task."""
    made = assignment.flag(
        store,
        visit.actor,
        number,
        body.reason,
        note=body.note,
        candidate=body.candidate,
        now=now,
    )
    return Flagged(flag=made)


@router.get("/campaigns/{campaign}/answers/last")
def last_answers(store: Database, visit: Visitor, campaign: Id) -> list[RecentAnswer]:
    """Your last answers, newest first: those that you can take back."""
    need_scope(visit, "label")
    return answers.last_answers(store, visit.actor, campaign)


@router.post("/responses/{number}/undo")
def undo(store: Database, visit: Visitor, now: Now, number: Id) -> Undone:
    """Take one of your last answers back; its text becomes a draft."""
    return Undone(assignment=answers.undo(store, visit.actor, number, now=now))


@router.get("/campaigns/{campaign}/progress/own")
def own_progress(store: Database, visit: Visitor, campaign: Id) -> OwnProgress:
    """How far you are."""
    return progress.own_progress(store, visit.actor, campaign)
