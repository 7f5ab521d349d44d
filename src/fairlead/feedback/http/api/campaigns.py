"""What leads do: projects, campaigns, guidelines, items, flags, progress."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field

from fairlead.feedback import accounts, campaign_items, campaigns, progress
from fairlead.feedback.campaign_items import Added, FlagRow, ItemRole, ItemRow, NewBatch, NewItem
from fairlead.feedback.campaigns import (
    CampaignInfo,
    CampaignSettings,
    GuidelineInfo,
    ProjectInfo,
    State,
)
from fairlead.feedback.http.api.common import BIG, Id, Name, part
from fairlead.feedback.http.visits import Database, Now, Visit, Visitor, need_scope
from fairlead.feedback.permissions import Thing, may
from fairlead.feedback.progress import CampaignProgress, PersonProgress
from fairlead.feedback.work import Kind
from fairlead.records import Record

router = part("campaigns")


class NewProject(Record):
    """A project to be made."""

    name: str


class NewCampaign(Record):
    """A campaign to be made."""

    name: str
    settings: CampaignSettings
    seed: Annotated[int | None, Field(ge=0, lt=2**62)] = None
    """Of all random choices; null for one that nobody can guess."""


class Made(Record):
    """The number of what was made."""

    id: int


class CampaignView(Record):
    """A campaign. How gold is mixed in, and the seed, are for those who manage it only."""

    id: int
    project: int
    name: str
    state: str
    work: Kind
    guideline_version: int
    content_warning: str
    created_at: datetime
    settings: CampaignSettings | None = None
    seed: str | None = None
    """As text: it may be larger than numbers in JavaScript are exact."""

    @classmethod
    def of(cls, visit: Visit, one: CampaignInfo) -> "CampaignView":
        """What this visitor may see of a campaign."""
        managed = may(visit.actor, "see_answers", Thing(project=one.project))
        return cls(
            id=one.id,
            project=one.project,
            name=one.name,
            state=one.state,
            work=one.settings.work,
            guideline_version=one.guideline_version,
            content_warning=one.settings.content_warning,
            created_at=one.created_at,
            settings=one.settings if managed else None,
            seed=str(one.seed) if managed else None,
        )


class NewState(Record):
    """What a campaign shall be."""

    state: State


class NewGuideline(Record):
    """A new version of the instructions."""

    text: Annotated[str, Field(max_length=200_000)]


class NewItems(Record):
    """Items to be added, all or none."""

    items: Annotated[tuple[NewItem, ...], Field(max_length=10_000)]
    batch: NewBatch | None = None


class NewPriority(Record):
    """Which items come sooner or later."""

    items: Annotated[tuple[Annotated[int, Field(ge=1, le=BIG)], ...], Field(max_length=10_000)]
    priority: Annotated[int, Field(ge=-BIG, le=BIG)]


class Changed(Record):
    """How many things were found."""

    found: int


class Decision(Record):
    """Whether somebody goes on working in a campaign."""

    state: Literal["active", "paused"]
    why: Annotated[str, Field(max_length=1000)] = ""


# Projects


@router.get("/projects")
def list_projects(store: Database, visit: Visitor) -> list[ProjectInfo]:
    """The projects that you may see."""
    need_scope(visit, "read", "label", "manage", "export")
    return campaigns.list_projects(store, visit.actor)


@router.post("/projects", status_code=201)
def create_project(store: Database, visit: Visitor, now: Now, body: NewProject) -> Made:
    """Make a project."""
    return Made(id=campaigns.create_project(store, visit.actor, body.name, now=now))


@router.put("/projects/{project}/members/{person}", status_code=204)
def add_member(store: Database, visit: Visitor, now: Now, project: Id, person: Name) -> None:
    """Let somebody into a project."""
    accounts.add_member(store, visit.actor, project, person, now=now)


@router.delete("/projects/{project}/members/{person}", status_code=204)
def remove_member(store: Database, visit: Visitor, now: Now, project: Id, person: Name) -> None:
    """Keep somebody out of a project from now on; their answers stay."""
    accounts.remove_member(store, visit.actor, project, person, now=now)


# Campaigns


@router.get("/campaigns")
def list_campaigns(
    store: Database,
    visit: Visitor,
    project: Annotated[int | None, Query(ge=1, le=BIG)] = None,
) -> list[CampaignView]:
    """The campaigns that you may see."""
    need_scope(visit, "read", "label", "manage", "export")
    found = campaigns.list_campaigns(store, visit.actor, project=project)
    return [CampaignView.of(visit, one) for one in found]


@router.post("/projects/{project}/campaigns", status_code=201)
def create_campaign(
    store: Database, visit: Visitor, now: Now, project: Id, body: NewCampaign
) -> Made:
    """Make a campaign, in state `draft`."""
    made = campaigns.create_campaign(
        store, visit.actor, project, body.name, body.settings, seed=body.seed, now=now
    )
    return Made(id=made)


@router.get("/campaigns/{campaign}")
def get_campaign(store: Database, visit: Visitor, campaign: Id) -> CampaignView:
    """One campaign."""
    return CampaignView.of(visit, campaigns.get_campaign(store, visit.actor, campaign))


@router.put("/campaigns/{campaign}/settings", status_code=204)
def change_campaign(
    store: Database, visit: Visitor, now: Now, campaign: Id, body: CampaignSettings
) -> None:
    """Change how work is handed out; what is asked stays once there are items."""
    campaigns.change_campaign(store, visit.actor, campaign, body, now=now)


@router.put("/campaigns/{campaign}/state", status_code=204)
def set_state(store: Database, visit: Visitor, now: Now, campaign: Id, body: NewState) -> None:
    """Open, pause or close a campaign."""
    campaigns.set_campaign_state(store, visit.actor, campaign, body.state, now=now)


# Guidelines


@router.get("/campaigns/{campaign}/guidelines")
def list_guidelines(store: Database, visit: Visitor, campaign: Id) -> list[GuidelineInfo]:
    """All versions of the instructions, oldest first."""
    return campaigns.list_guidelines(store, visit.actor, campaign)


@router.post("/campaigns/{campaign}/guidelines", status_code=201)
def add_guideline(
    store: Database, visit: Visitor, now: Now, campaign: Id, body: NewGuideline
) -> GuidelineInfo:
    """Store a new version of the instructions."""
    return campaigns.add_guideline(store, visit.actor, campaign, body.text, now=now)


# Items


@router.get("/campaigns/{campaign}/items")
def list_items(
    store: Database,
    visit: Visitor,
    campaign: Id,
    state: Literal["open", "full", "done", "dropped"] | None = None,
    role: ItemRole | None = None,
    after: Annotated[int, Query(ge=0, le=BIG)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[ItemRow]:
    """Items in order of their number; hand the last one over as `after` for the next page."""
    return campaign_items.list_items(
        store, visit.actor, campaign, state=state, role=role, after=after, limit=limit
    )


@router.post("/campaigns/{campaign}/items", status_code=201)
def add_items(store: Database, visit: Visitor, now: Now, campaign: Id, body: NewItems) -> Added:
    """Add items. Items that are there with the same content are counted as known."""
    return campaign_items.add_items(
        store, visit.actor, campaign, body.items, batch=body.batch, now=now
    )


@router.put("/campaigns/{campaign}/priority")
def set_priority(
    store: Database, visit: Visitor, now: Now, campaign: Id, body: NewPriority
) -> Changed:
    """Set the priority of items; larger comes first."""
    found = campaign_items.set_priority(
        store, visit.actor, campaign, body.items, body.priority, now=now
    )
    return Changed(found=found)


@router.post("/items/{item}/reopen", status_code=204)
def reopen_item(store: Database, visit: Visitor, now: Now, item: Id) -> None:
    """Hand an item out again that too many people had skipped."""
    campaign_items.reopen_item(store, visit.actor, item, now=now)


# Flags


@router.get("/campaigns/{campaign}/flags")
def list_flags(
    store: Database, visit: Visitor, campaign: Id, open_only: bool = True
) -> list[FlagRow]:
    """What people flagged, oldest first."""
    return campaign_items.list_flags(store, visit.actor, campaign, open_only=open_only)


@router.post("/flags/{flag}/resolve", status_code=204)
def resolve_flag(store: Database, visit: Visitor, now: Now, flag: Id) -> None:
    """Mark a flag as dealt with."""
    campaign_items.resolve_flag(store, visit.actor, flag, now=now)


# Progress


@router.get("/campaigns/{campaign}/progress")
def campaign_progress(store: Database, visit: Visitor, campaign: Id) -> CampaignProgress:
    """How far a campaign is."""
    return progress.campaign_progress(store, visit.actor, campaign)


@router.get("/campaigns/{campaign}/people")
def people_progress(store: Database, visit: Visitor, campaign: Id) -> list[PersonProgress]:
    """How far each person is, by pseudonym."""
    return progress.people_progress(store, visit.actor, campaign)


@router.get("/campaigns/{campaign}/quality")
def quality(store: Database, visit: Visitor, campaign: Id) -> dict[str, Any]:
    """How good the labels are: agreement, gold, biases, findings about people."""
    # Loads the statistics, which a server that only collects does not need.
    from fairlead.feedback.statistics import campaign_quality

    return campaign_quality(store, visit.actor, campaign).model_dump(mode="json")


@router.put("/campaigns/{campaign}/people/{person}", status_code=204)
def set_participation(
    store: Database, visit: Visitor, now: Now, campaign: Id, person: Name, body: Decision
) -> None:
    """Let somebody go on, or pause them."""
    campaigns.set_participation(
        store, visit.actor, campaign, person, body.state, why=body.why, now=now
    )
