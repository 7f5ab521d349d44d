"""Projects, campaigns, guidelines and items: what leads set up before people work."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.files import sha256_json
from fairlead.core.seeds import Seed
from fairlead.feedback import audit
from fairlead.feedback.errors import Conflict
from fairlead.feedback.permissions import LOCAL, Action, Actor, Thing, missing, require
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    BIG,
    Campaign,
    Candidate,
    Flag,
    Gold,
    Guideline,
    Item,
    Membership,
    Participation,
    Project,
    SelectionBatch,
    Step,
    Suggestion,
)
from fairlead.feedback.work import Kind, Subject, Work, sentences, unstorable
from fairlead.records import Message, Record

State = Literal["draft", "open", "paused", "closed"]
ItemRole = Literal["normal", "gold", "screening"]

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


# Items


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


def settings_of(campaign: Campaign) -> CampaignSettings:
    """The settings of a campaign."""
    return CampaignSettings.model_validate(campaign.settings)


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


def _storable(field: str, text: str) -> None:
    if unstorable(text):
        raise DataError("a text cannot be stored", where=field, got="NUL or half of a pair")
