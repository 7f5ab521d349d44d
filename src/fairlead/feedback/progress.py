"""How far a campaign is, and how far one person is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from fairlead.feedback.campaigns import campaign_row
from fairlead.feedback.permissions import Actor
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    Assignment,
    Flag,
    Item,
    Participation,
    Response,
)

Number = TypeVar("Number")


@dataclass(frozen=True)
class CampaignProgress:
    """Counts of a campaign, for leads. Gold and screening items are apart from the work."""

    items: int
    open: int
    """With room for more people; includes items that others work on."""
    full: int
    done: int
    dropped: int
    wanted: int
    """Answers that make the campaign complete, without dropped items."""
    counted: int
    late: int
    live: int
    skipped: int
    flags: int
    people: int


@dataclass(frozen=True)
class PersonProgress:
    """Counts of one person in a campaign, for leads."""

    annotator: str
    state: str
    paused_why: str
    done: int
    skipped: int
    gold: int
    gold_right: int
    screening: int
    screening_right: int
    last_at: datetime | None


@dataclass(frozen=True)
class OwnProgress:
    """What a person sees of their own work. Says nothing about gold."""

    done: int
    skipped: int
    items: int
    items_done: int
    """Of the campaign's items, how many are complete, by whomever."""


def campaign_progress(store: Store, actor: Actor, campaign: int) -> CampaignProgress:
    """How far a campaign is."""
    with store.read() as session:
        campaign_row(session, actor, "see_answers", campaign)
        normal = (Item.campaign_id == campaign, Item.role == "normal")
        wanted = select(func.sum(Item.target)).where(*normal, Item.state != "dropped")
        states = _counted(session, select(Item.state, func.count()).where(*normal), Item.state)
        leases = _counted(
            session,
            select(Assignment.state, func.count()).where(Assignment.campaign_id == campaign),
            Assignment.state,
        )
        answers = _counted(
            session,
            select(Response.state, func.count())
            .join(Assignment, Response.assignment_id == Assignment.id)
            .where(Response.campaign_id == campaign, Assignment.purpose == "normal"),
            Response.state,
        )
        flags = select(func.count()).where(Flag.campaign_id == campaign, Flag.resolved_at.is_(None))
        people = select(func.count()).where(Participation.campaign_id == campaign)
        return CampaignProgress(
            items=sum(states.values()),
            open=states.get("open", 0),
            full=states.get("full", 0),
            done=states.get("done", 0),
            dropped=states.get("dropped", 0),
            wanted=session.scalar(wanted) or 0,
            counted=answers.get("counted", 0),
            late=answers.get("late", 0),
            live=leases.get("leased", 0),
            skipped=leases.get("skipped", 0),
            flags=session.scalar(flags) or 0,
            people=session.scalar(people) or 0,
        )


def people_progress(store: Store, actor: Actor, campaign: int) -> list[PersonProgress]:
    """How far each person is, by pseudonym."""
    with store.read() as session:
        campaign_row(session, actor, "see_answers", campaign)
        latest = select(Response.annotator_id, func.max(Response.submitted_at))
        latest = latest.where(Response.campaign_id == campaign)
        last = _counted(session, latest, Response.annotator_id)
        query = select(Participation).where(Participation.campaign_id == campaign)
        return [
            PersonProgress(
                one.annotator_id,
                one.state,
                one.paused_why,
                one.done_n,
                one.skip_n,
                one.gold_n,
                one.gold_right,
                one.screening_n,
                one.screening_right,
                last.get(one.annotator_id),
            )
            for one in session.scalars(query.order_by(Participation.annotator_id))
        ]


def own_progress(store: Store, actor: Actor, campaign: int) -> OwnProgress:
    """How far the one who asks is."""
    with store.read() as session:
        campaign_row(session, actor, "see_project", campaign)
        part = session.get(Participation, (campaign, actor.pseudonym))
        normal = (Item.campaign_id == campaign, Item.role == "normal", Item.state != "dropped")
        items = select(func.count()).where(*normal)
        done = items.where(Item.state == "done")
        return OwnProgress(
            done=0 if part is None else part.done_n,
            skipped=0 if part is None else part.skip_n,
            items=session.scalar(items) or 0,
            items_done=session.scalar(done) or 0,
        )


def _counted(session: Session, query: Select[str, Number], by: Any) -> dict[str, Number]:
    """A number, or a time, for each group."""
    return {name: number for name, number in session.execute(query.group_by(by))}  # noqa: C416
