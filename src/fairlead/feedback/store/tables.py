"""Tables of the feedback store. Identity is in `account` only; all else knows pseudonyms."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator


class Moment(TypeDecorator[datetime]):
    """A point in time, UTC. SQLite keeps no time zone, so it is put on again when read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC, without its name where the database cannot keep it."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment needs a time zone, got {value.isoformat()}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """An aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Table(DeclarativeBase):
    """Base of all tables; constraints have names, so that migrations can address them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        datetime: Moment,
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
        str: Text,
    }


BIG = 2**31 - 1
"""The largest whole number of a column."""
Name = String(64)
"""Short values that the program chooses: states, kinds, pseudonyms, hex digests."""


# People


class Account(Table):
    """Who a person is. The only table with identity; erased when somebody asks to be forgotten.

    No e-mail address: nothing here sends mail, so none is collected.
    """

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(Name)
    state: Mapped[str] = mapped_column(Name, default="active")
    failed_n: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Annotator(Table):
    """A person without identity: a random pseudonym, not a hash of anything."""

    __tablename__ = "annotator"
    id: Mapped[str] = mapped_column(Name, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(
        ForeignKey("account.id", ondelete="SET NULL"), unique=True
    )
    state: Mapped[str] = mapped_column(Name, default="active")
    consent_version: Mapped[int | None]
    consent_at: Mapped[datetime | None]
    content_opt_out: Mapped[bool] = mapped_column(default=False)
    groups: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Groups the person said they belong to: {"region": "north"}."""
    created_at: Mapped[datetime]


class Consent(Table):
    """A version of the text that people agree to before they work."""

    __tablename__ = "consent"
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str]
    sha256: Mapped[str] = mapped_column(Name)
    created_at: Mapped[datetime]


class Invitation(Table):
    """A link that makes one account, or resets the password of one (`account_id` set)."""

    __tablename__ = "invitation"
    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(Name, unique=True)
    role: Mapped[str] = mapped_column(Name)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("project.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    created_by: Mapped[str] = mapped_column(Name)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class LoginSession(Table):
    """A logged-in browser. Only the hash of the cookie's value is stored."""

    __tablename__ = "session"
    id_sha256: Mapped[str] = mapped_column(Name, primary_key=True)
    account_id: Mapped[int] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    csrf: Mapped[str] = mapped_column(Name)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ApiToken(Table):
    """A program's key. The prefix is for recognising it; only the hash of the rest is stored."""

    __tablename__ = "api_token"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(Name)
    sha256: Mapped[str] = mapped_column(Name, unique=True)
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


# What is asked


class Project(Table):
    """Campaigns that the same people may see."""

    __tablename__ = "project"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]


class Membership(Table):
    """Which people may work in (annotators) or manage (leads) a project."""

    __tablename__ = "membership"
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    annotator_id: Mapped[str] = mapped_column(
        ForeignKey("annotator.id"), primary_key=True, index=True
    )


class Campaign(Table):
    """One kind of work on many items; `settings` is a `CampaignSettings`."""

    __tablename__ = "campaign"
    __table_args__ = (UniqueConstraint("project_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(Name)
    settings: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(Name, default="draft")
    guideline_version: Mapped[int] = mapped_column(default=0)
    """Version shown to those who claim work now; 0 for none."""
    created_at: Mapped[datetime]


class Guideline(Table):
    """A version of a campaign's instructions."""

    __tablename__ = "guideline"
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str]
    sha256: Mapped[str] = mapped_column(Name)
    created_at: Mapped[datetime]


class SelectionBatch(Table):
    """How a set of items was chosen for people."""

    __tablename__ = "selection_batch"
    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), index=True)
    strategy: Mapped[str] = mapped_column(Name)
    seed: Mapped[int] = mapped_column(BigInteger)
    params: Mapped[dict[str, Any]]
    model_sha256: Mapped[str | None] = mapped_column(Name)
    created_at: Mapped[datetime]


class Item(Table):
    """One thing to be judged by `target` people."""

    __tablename__ = "item"
    __table_args__ = (
        UniqueConstraint("campaign_id", "external_id"),
        # What a claim walks along: open items in the order of work.
        Index(None, "campaign_id", "role", "state", "rank", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"))
    external_id: Mapped[str]
    messages: Mapped[list[Any]]
    content_sha256: Mapped[str] = mapped_column(Name)
    prompt_sha256: Mapped[str] = mapped_column(Name, index=True)
    """Hash of the messages alone: items of one prompt belong to one split."""
    role: Mapped[str] = mapped_column(Name, default="normal")
    """normal | gold | screening"""
    state: Mapped[str] = mapped_column(Name, default="open")
    """open | full (enough live leases) | done | dropped (too many skips)"""
    rank: Mapped[int] = mapped_column(default=0)
    """Minus the priority: smaller comes first."""
    target: Mapped[int]
    live_n: Mapped[int] = mapped_column(default=0)
    done_n: Mapped[int] = mapped_column(default=0)
    skip_n: Mapped[int] = mapped_column(default=0)
    stratum: Mapped[str] = mapped_column(default="")
    propensity: Mapped[float] = mapped_column(default=1.0)
    """Probability with which the item was sent to people."""
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("selection_batch.id"))
    meta: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Source, row, subset and whatever an import wants to keep; never shown to annotators."""
    created_at: Mapped[datetime]
    candidates: Mapped[list["Candidate"]] = relationship(viewonly=True, order_by="Candidate.idx")


class Candidate(Table):
    """A reply. Its id is drawn at random: ids in sequence would tell which reply came first."""

    __tablename__ = "candidate"
    __table_args__ = (UniqueConstraint("item_id", "idx"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"))
    idx: Mapped[int]
    text: Mapped[str]
    model: Mapped[str] = mapped_column(default="")
    sampling: Mapped[dict[str, Any]] = mapped_column(default=dict)
    sha256: Mapped[str] = mapped_column(Name)


class Step(Table):
    """A step of a candidate, where steps are judged."""

    __tablename__ = "step"
    candidate_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("candidate.id"), primary_key=True, autoincrement=False
    )
    idx: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str]


class Suggestion(Table):
    """What a model says about an item; not shown unless the campaign says so."""

    __tablename__ = "suggestion"
    __table_args__ = (UniqueConstraint("item_id", "question", "agent"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"))
    question: Mapped[str] = mapped_column(default="")
    value: Mapped[dict[str, Any]]
    score: Mapped[float | None]
    agent: Mapped[str]
    kind: Mapped[str] = mapped_column(Name, default="model")
    created_at: Mapped[datetime]


class Gold(Table):
    """Accepted answers to an item whose answer is known; each may leave fields open."""

    __tablename__ = "gold"
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"), primary_key=True)
    accepted: Mapped[list[Any]]
    why: Mapped[str] = mapped_column(default="")
    difficulty: Mapped[float | None]


# Who does what


class Participation(Table):
    """Counters of one person in one campaign, so that a claim counts nothing.

    The row is also the lock under which one person's requests follow each other.
    """

    __tablename__ = "participation"
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    annotator_id: Mapped[str] = mapped_column(
        ForeignKey("annotator.id"), primary_key=True, index=True
    )
    state: Mapped[str] = mapped_column(Name, default="new")
    """new (being screened) | active | paused (a lead decides)"""
    paused_why: Mapped[str] = mapped_column(default="")
    shown_n: Mapped[int] = mapped_column(default=0)
    """Assignments ever made; also numbers the draws of chance."""
    pairs_n: Mapped[int] = mapped_column(default=0)
    first_n: Mapped[int] = mapped_column(default=0)
    """Of the pairs shown, how many in the order of the item."""
    done_n: Mapped[int] = mapped_column(default=0)
    skip_n: Mapped[int] = mapped_column(default=0)
    gold_n: Mapped[int] = mapped_column(default=0)
    gold_right: Mapped[int] = mapped_column(default=0)
    screening_n: Mapped[int] = mapped_column(default=0)
    """Screening tasks closed, answered or skipped."""
    screening_right: Mapped[int] = mapped_column(default=0)
    cursor_rank: Mapped[int | None]
    cursor_item: Mapped[int | None]
    """Item claimed last: the next one is looked for behind it."""


class Assignment(Table):
    """One item given to one person, with the order in which it was shown."""

    __tablename__ = "assignment"
    __table_args__ = (
        UniqueConstraint("item_id", "annotator_id", "purpose"),
        Index(None, "campaign_id", "state", "lease_until"),
        Index(None, "annotator_id", "state"),
        Index(None, "annotator_id", "campaign_id", "purpose", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"))
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"))
    annotator_id: Mapped[str] = mapped_column(ForeignKey("annotator.id"))
    purpose: Mapped[str] = mapped_column(Name)
    """normal | gold | repeat | screening; never shown to the person"""
    order: Mapped[list[Any]]
    """Candidate ids in the order shown."""
    turn: Mapped[int]
    """Rotation of the item's base order; for pairs 0 is the item's own order."""
    order_seed: Mapped[int] = mapped_column(BigInteger)
    client_key: Mapped[str] = mapped_column(Name, unique=True)
    guideline_version: Mapped[int]
    state: Mapped[str] = mapped_column(Name, default="leased")
    """leased | submitted | skipped | expired | released | revoked"""
    leased_at: Mapped[datetime]
    lease_until: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    skip_reason: Mapped[str] = mapped_column(Name, default="")
    skip_note: Mapped[str] = mapped_column(default="")


class Response(Table):
    """The answer as it stands. Every state it ever had is in `response_revision`."""

    __tablename__ = "response"
    __table_args__ = (
        Index(None, "annotator_id", "campaign_id", "id"),
        Index(None, "campaign_id", "state", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignment.id"), unique=True)
    client_key: Mapped[str] = mapped_column(Name, unique=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"))
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"), index=True)
    annotator_id: Mapped[str] = mapped_column(ForeignKey("annotator.id"))
    value: Mapped[dict[str, Any] | None]
    """In candidate ids; empty once undone or withdrawn."""
    shown: Mapped[dict[str, Any] | None]
    """The same in positions on the screen, counted from 0."""
    tie: Mapped[bool | None]
    strength: Mapped[int | None]
    reason: Mapped[str] = mapped_column(default="")
    active_ms: Mapped[int | None]
    guideline_version: Mapped[int]
    ui_version: Mapped[str] = mapped_column(default="")
    markdown: Mapped[bool] = mapped_column(default=False)
    """Whether replies were shown as Markdown instead of plain text."""
    revision: Mapped[int] = mapped_column(default=1)
    state: Mapped[str] = mapped_column(Name, default="counted")
    """counted | late (kept outside the target) | undone | withdrawn"""
    late: Mapped[bool] = mapped_column(default=False)
    """Whether it came after the lease, counted or not."""
    gold_right: Mapped[bool | None]
    body_sha256: Mapped[str] = mapped_column(Name, default="")
    submitted_at: Mapped[datetime]
    revised_at: Mapped[datetime]


class ResponseRevision(Table):
    """Append-only history of answers. Erasure may empty a row, nothing may change one."""

    __tablename__ = "response_revision"
    response_id: Mapped[int] = mapped_column(ForeignKey("response.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    cause: Mapped[str] = mapped_column(Name)
    """submit | revise | undo | withdraw"""
    value: Mapped[dict[str, Any] | None]
    shown: Mapped[dict[str, Any] | None]
    reason: Mapped[str | None]
    active_ms: Mapped[int | None]
    nonce: Mapped[str | None] = mapped_column(Name)
    """Goes into the audit hash. Without it the hash says nothing about a guessable answer."""
    at: Mapped[datetime]


class Draft(Table):
    """What somebody has typed so far."""

    __tablename__ = "draft"
    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignment.id"), primary_key=True)
    value: Mapped[dict[str, Any]]
    seq: Mapped[int]
    at: Mapped[datetime]


class Flag(Table):
    """Somebody says that an item or a reply should be looked at."""

    __tablename__ = "flag"
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"), index=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), index=True)
    candidate_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("candidate.id"))
    annotator_id: Mapped[str] = mapped_column(ForeignKey("annotator.id"), index=True)
    reason: Mapped[str] = mapped_column(Name)
    note: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]


class Quality(Table):
    """A measured number about a person in a campaign, with its interval."""

    __tablename__ = "quality"
    id: Mapped[int] = mapped_column(primary_key=True)
    annotator_id: Mapped[str] = mapped_column(ForeignKey("annotator.id"), index=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), index=True)
    metric: Mapped[str] = mapped_column(Name)
    value: Mapped[float | None]
    lo: Mapped[float | None]
    hi: Mapped[float | None]
    n: Mapped[int]
    at: Mapped[datetime]


# What happened, and what left


class Audit(Table):
    """A link of the chain: ids and hashes only, so that erasure leaves it whole."""

    __tablename__ = "audit"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(Name)
    action: Mapped[str] = mapped_column(Name)
    object: Mapped[str] = mapped_column(Name)
    payload_sha256: Mapped[str] = mapped_column(Name)
    prev: Mapped[str] = mapped_column(Name)
    hash: Mapped[str] = mapped_column(Name)


class AuditHead(Table):
    """The last link. One row, locked while a link is added; shows when the end was cut off."""

    __tablename__ = "audit_head"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int]
    hash: Mapped[str] = mapped_column(Name)


class Webhook(Table):
    """An address that is told of events; managed by owners only."""

    __tablename__ = "webhook"
    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]
    events: Mapped[list[Any]]
    active: Mapped[bool] = mapped_column(default=True)
    last_seq: Mapped[int] = mapped_column(default=0, server_default="0")
    """Number of the last audit entry that the outbox was filled from."""
    created_at: Mapped[datetime]


class WebhookDelivery(Table):
    """The outbox: filled from the audit chain, which is written with each event, and then sent."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (Index(None, "state", "next_at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhook.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(Name)
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(Name, default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime]
    last_status: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]


class Erasure(Table):
    """That somebody was forgotten or withdrew their work, and what that touched."""

    __tablename__ = "erasure"
    id: Mapped[int] = mapped_column(primary_key=True)
    annotator_id: Mapped[str] = mapped_column(Name, index=True)
    kind: Mapped[str] = mapped_column(Name)
    """forget | withdraw"""
    by: Mapped[str] = mapped_column(Name)
    at: Mapped[datetime]
    counts: Mapped[dict[str, Any]]
    affected: Mapped[list[Any]]


class DatasetExport(Table):
    """A file that left the store, with its manifest."""

    __tablename__ = "dataset_export"
    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), index=True)
    format: Mapped[str] = mapped_column(Name)
    path: Mapped[str]
    sha256: Mapped[str] = mapped_column(Name, index=True)
    manifest: Mapped[dict[str, Any]]
    pseudonym_key: Mapped[str] = mapped_column(Name, default="")
    """Key of this export's own pseudonyms."""
    stale_at: Mapped[datetime | None]
    stale_why: Mapped[str] = mapped_column(default="")
    by: Mapped[str] = mapped_column(Name)
    created_at: Mapped[datetime]


class ExportMember(Table):
    """Which answers, at which revision, are in an export."""

    __tablename__ = "export_member"
    export_id: Mapped[int] = mapped_column(ForeignKey("dataset_export.id"), primary_key=True)
    response_id: Mapped[int] = mapped_column(
        ForeignKey("response.id"), primary_key=True, index=True
    )
    revision: Mapped[int]
