"""Projects, campaigns and guidelines: what leads set up before people work."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairlead.core.errors import ConfigError, DataError
from fairlead.feedback import audit
from fairlead.feedback.errors import Conflict
from fairlead.feedback.permissions import Action, Actor, Thing, missing, require
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    Campaign,
    Guideline,
    Item,
    Membership,
    Participation,
    Project,
)
from fairlead.feedback.work import Kind, sentences, unstorable
from fairlead.records import Record

State = Literal["draft", "open", "paused", "closed"]

LONGEST_LEASE = 30 * 86_400
"""Seconds."""


class CampaignSettings(Record):
    """How a campaign hands out its work."""

    work: Kind
    overlap: int = Field(default=1, ge=1, le=1000)
    """How many people answer each item."""
    lease_s: int = Field(default=1200, ge=30, le=LONGEST_LEASE)
    """Seconds that a person has for an item before it may go to another."""
    lease_max_s: int = Field(default=14_400, ge=30, le=LONGEST_LEASE)
    """Seconds beyond which heartbeats no longer prolong a lease."""
    gold_rate: float = Field(default=0.0, ge=0, le=0.5)
    """Share of tasks whose answer is known."""
    gold_start_rate: float | None = Field(default=None, ge=0, le=0.5)
    """The same for a person's first `gold_start_n` tasks; None for no difference."""
    gold_start_n: int = Field(default=20, ge=0, le=10_000)
    repeat_rate: float = Field(default=0.0, ge=0, le=0.5)
    """Share of tasks that the person has answered before."""
    repeat_gap: int = Field(default=10, ge=1, le=10_000)
    """Answers between a task and its repeat, at least."""
    screening: int = Field(default=0, ge=0, le=10_000)
    """Tasks with a known answer that everybody gets first."""
    screening_pass: float = Field(default=0.0, ge=0, le=1)
    """Share of them that must be right; whoever has less waits for a lead's decision."""
    skip_limit: int = Field(default=3, ge=1, le=10_000)
    """After this many skips an item is given to nobody else."""
    show_suggestions: bool = False
    """Whether people see what a model answered."""
    markdown: bool = False
    """Whether replies may be shown as Markdown; otherwise they are plain text."""
    content_warning: str = ""
    """Shown before the work; people may opt out of such campaigns."""

    @model_validator(mode="after")
    def _rates_leave_room(self) -> Self:
        most = max(self.gold_rate, self.gold_start_rate or 0)
        if most + self.repeat_rate > 0.8:
            raise ValueError("gold and repeats together leave less than a fifth for the work")
        if self.screening and not self.work.has_gold:
            raise ValueError(f"{self.work.kind} has no accepted answers to screen with")
        return self


@dataclass(frozen=True)
class CampaignInfo:
    """A campaign as lists and pages show it."""

    id: int
    project: int
    name: str
    state: str
    settings: CampaignSettings
    seed: int
    guideline_version: int
    created_at: datetime


@dataclass(frozen=True)
class GuidelineInfo:
    """A version of the instructions."""

    version: int
    text: str
    sha256: str
    created_at: datetime


@dataclass(frozen=True)
class ProjectInfo:
    """A project as lists show it."""

    id: int
    name: str
    members: tuple[str, ...]


# Projects


def create_project(store: Store, actor: Actor, name: str, *, now: datetime) -> int:
    """Makes a project; returns its id.

    Raises:
        Conflict: the name is taken.
    """
    require(actor, "administer", Thing())
    name = _name(name)
    with store.write() as session:
        if session.scalar(select(Project.id).where(Project.name == name)) is not None:
            raise Conflict("this name is taken", where="project", got=name)
        project = Project(name=name, created_at=now)
        session.add(project)
        session.flush()
        audit.record(session, now, actor.pseudonym, "create_project", f"project:{project.id}")
        return project.id


def list_projects(store: Store, actor: Actor) -> list[ProjectInfo]:
    """The projects that the actor may see; members only for those who manage them."""
    with store.read() as session:
        query = select(Project).order_by(Project.name)
        if actor.role != "owner":
            query = query.where(Project.id.in_(actor.projects))
        projects = session.scalars(query).all()
        return [ProjectInfo(one.id, one.name, _members(session, actor, one.id)) for one in projects]


def _members(session: Session, actor: Actor, project: int) -> tuple[str, ...]:
    if actor.role == "annotator":
        return ()
    query = select(Membership.annotator_id).where(Membership.project_id == project)
    return tuple(session.scalars(query.order_by(Membership.annotator_id)))


# Campaigns


def create_campaign(
    store: Store,
    actor: Actor,
    project: int,
    name: str,
    settings: CampaignSettings | Mapping[str, Any],
    *,
    now: datetime,
    seed: int | None = None,
) -> int:
    """Makes a campaign in state `draft`; returns its id.

    Args:
        store: the database.
        actor: who asks.
        project: its project.
        name: unique in the project.
        settings: what is asked, and how work is handed out.
        now: the time.
        seed: of all random choices; None for one that nobody can guess.

    Raises:
        ConfigError: settings that cannot work.
        Conflict: the name is taken.
    """
    require(actor, "manage", Thing(project=project, name=f"project {project}"))
    checked, name = _settings(settings), _name(name)
    with store.write() as session:
        if session.get(Project, project) is None:
            raise missing(f"project {project}")
        taken = select(Campaign.id).where(Campaign.project_id == project, Campaign.name == name)
        if session.scalar(taken) is not None:
            raise Conflict("this name is taken", where="campaign", got=name)
        campaign = Campaign(
            project_id=project,
            name=name,
            kind=checked.work.kind,
            settings=checked.model_dump(mode="json"),
            seed=secrets.randbits(62) if seed is None else seed,
            created_at=now,
        )
        session.add(campaign)
        session.flush()
        thing = f"campaign:{campaign.id}"
        audit.record(session, now, actor.pseudonym, "create_campaign", thing, campaign.settings)
        return campaign.id


def set_campaign_state(
    store: Store, actor: Actor, campaign: int, state: State, *, now: datetime
) -> None:
    """Opens, pauses or closes a campaign. Answers to leases that are out are kept in any state."""
    with store.write() as session:
        row = campaign_row(session, actor, "manage", campaign)
        row.state = state
        session.flush()
        audit.record(session, now, actor.pseudonym, f"campaign_{state}", f"campaign:{campaign}")


def change_campaign(
    store: Store,
    actor: Actor,
    campaign: int,
    settings: CampaignSettings | Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    """Changes how work is handed out; what is asked stays once there are items.

    Raises:
        Conflict: the question changed though there are items.
    """
    checked = _settings(settings)
    with store.write() as session:
        row = campaign_row(session, actor, "manage", campaign)
        old = settings_of(row)
        has_items = session.scalar(select(Item.id).where(Item.campaign_id == campaign).limit(1))
        if checked.work != old.work and has_items is not None:
            raise Conflict(
                "the question of a campaign with items cannot change",
                where=f"campaign {campaign}",
                remedy="make a new campaign, so that each set of answers has one question",
            )
        row.kind, row.settings = checked.work.kind, checked.model_dump(mode="json")
        session.flush()
        thing = f"campaign:{campaign}"
        audit.record(session, now, actor.pseudonym, "change_campaign", thing, row.settings)


def list_campaigns(store: Store, actor: Actor, *, project: int | None = None) -> list[CampaignInfo]:
    """The campaigns that the actor may see; annotators see open and paused ones."""
    with store.read() as session:
        query = select(Campaign).order_by(Campaign.id)
        if actor.role != "owner":
            query = query.where(Campaign.project_id.in_(actor.projects))
        if actor.role == "annotator":
            query = query.where(Campaign.state.in_(("open", "paused")))
        if project is not None:
            query = query.where(Campaign.project_id == project)
        return [_info(row) for row in session.scalars(query)]


def get_campaign(store: Store, actor: Actor, campaign: int) -> CampaignInfo:
    """One campaign.

    Raises:
        Missing: it is not there, or not for the one who asks.
    """
    with store.read() as session:
        return _info(campaign_row(session, actor, "see_project", campaign))


def find_campaign(store: Store, actor: Actor, name: str) -> CampaignInfo:
    """A campaign by name, `project/name`, or number, for the command line and recipes.

    Raises:
        Missing: there is none, or several projects have one of this name.
    """
    found = [
        one
        for one in list_campaigns(store, actor)
        if name in (one.name, str(one.id), f"{_project_name(store, one.project)}/{one.name}")
    ]
    if len(found) != 1:
        raise missing(f"campaign {name}" + (" (several projects have one)" if found else ""))
    return found[0]


# Guidelines


def add_guideline(
    store: Store, actor: Actor, campaign: int, text: str, *, now: datetime
) -> GuidelineInfo:
    """Stores a new version of the instructions; leases that are out keep the one they have."""
    _storable("guideline", text)
    with store.write() as session:
        row = campaign_row(session, actor, "manage", campaign)
        newest = select(func.max(Guideline.version)).where(Guideline.campaign_id == campaign)
        version = (session.scalar(newest) or 0) + 1
        digest = hashlib.sha256(text.encode()).hexdigest()
        guideline = Guideline(
            campaign_id=campaign, version=version, text=text, sha256=digest, created_at=now
        )
        session.add(guideline)
        row.guideline_version = version
        session.flush()
        thing = f"guideline:{campaign}.{version}"
        audit.record(session, now, actor.pseudonym, "add_guideline", thing, digest)
        return GuidelineInfo(version, text, digest, now)


def list_guidelines(store: Store, actor: Actor, campaign: int) -> list[GuidelineInfo]:
    """All versions of the instructions, oldest first."""
    with store.read() as session:
        campaign_row(session, actor, "see_project", campaign)
        query = select(Guideline).where(Guideline.campaign_id == campaign)
        return [
            GuidelineInfo(row.version, row.text, row.sha256, row.created_at)
            for row in session.scalars(query.order_by(Guideline.version))
        ]


# Who takes part


def set_participation(
    store: Store,
    actor: Actor,
    campaign: int,
    annotator: str,
    state: Literal["active", "paused"],
    *,
    why: str = "",
    now: datetime,
) -> None:
    """A lead's decision whether somebody goes on working in a campaign."""
    with store.write() as session:
        campaign_row(session, actor, "manage", campaign)
        row = session.get(Participation, (campaign, annotator), with_for_update=True)
        if row is None:
            raise missing(f"annotator {annotator}")
        row.state, row.paused_why = state, why
        session.flush()
        thing = f"participation:{campaign}.{annotator}"
        audit.record(session, now, actor.pseudonym, f"participation_{state}", thing)


# What other modules take


def campaign_row(
    session: Session, actor: Actor, action: Action, campaign: int, *, name: str = ""
) -> Campaign:
    """The campaign, after asking whether the actor may do this in it.

    Raises:
        Missing: it is not there, or not for the one who asks.
        Refused: it may be seen, but this may not be done.
    """
    row, name = session.get(Campaign, campaign), name or f"campaign {campaign}"
    if row is None:
        raise missing(name)
    return permitted(row, actor, action, name)


def permitted(row: Campaign, actor: Actor, action: Action, name: str) -> Campaign:
    """A campaign that was looked up, after asking whether the actor may do this in it.

    Raises:
        Missing: it is not for the one who asks.
        Refused: it may be seen, but this may not be done.
    """
    thing = Thing(project=row.project_id, name=name)
    require(actor, action, thing)
    if row.state == "draft" and actor.role == "annotator":
        raise missing(thing.name)
    return row


def settings_of(campaign: Campaign) -> CampaignSettings:
    """The settings of a campaign."""
    return CampaignSettings.model_validate(campaign.settings)


# Parts


def _settings(settings: CampaignSettings | Mapping[str, Any]) -> CampaignSettings:
    if isinstance(settings, CampaignSettings):
        return settings
    try:
        return CampaignSettings.model_validate(dict(settings))
    except ValidationError as error:
        raise ConfigError(
            "these settings cannot work",
            where="campaign",
            got="; ".join(sentence for _, sentence in sentences(error)),
        ) from error


def _name(name: str) -> str:
    cleaned = " ".join(name.split())
    if not 1 <= len(cleaned) <= 100 or unstorable(cleaned) or "/" in cleaned:
        raise DataError("not a name", expected="1 to 100 characters without /", got=cleaned[:100])
    return cleaned


def _info(row: Campaign) -> CampaignInfo:
    return CampaignInfo(
        row.id,
        row.project_id,
        row.name,
        row.state,
        settings_of(row),
        row.seed,
        row.guideline_version,
        row.created_at,
    )


def _project_name(store: Store, project: int) -> str:
    with store.read() as session:
        return session.get_one(Project, project).name


def _storable(field: str, text: str) -> None:
    if unstorable(text):
        raise DataError("a text cannot be stored", where=field, got="NUL or half of a pair")
