"""A campaign's answers and what they are about, as plain values that were read in one state.

Replies are named by their place in the item (index, from 0), so that nothing here depends on the
numbers of the database.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.feedback.campaigns import CampaignSettings, campaign_row, settings_of
from fairlead.feedback.permissions import Action, Actor
from fairlead.feedback.store.tables import (
    Annotator,
    Assignment,
    Candidate,
    Gold,
    Guideline,
    Item,
    Project,
    Response,
    Step,
    Suggestion,
)
from fairlead.feedback.work import Kind, Value, Work
from fairlead.records import Message


@dataclass(frozen=True)
class Reply:
    """A reply that was judged."""

    text: str
    model: str
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hint:
    """What a model said of an item."""

    agent: str
    question: str
    value: Value
    score: float | None


@dataclass(frozen=True)
class Case:
    """An item."""

    id: int
    external_id: str
    messages: tuple[Message, ...]
    role: str
    stratum: str
    propensity: float
    target: int
    meta: dict[str, Any]
    replies: tuple[Reply, ...]
    accepted: tuple[Value, ...]
    """Right answers of gold and screening items."""
    hints: tuple[Hint, ...]

    @property
    def words(self) -> int:
        """Length of what is read before an answer."""
        texts = [m.content for m in self.messages] + [reply.text for reply in self.replies]
        return sum(len(text.split()) for text in texts)


@dataclass(frozen=True)
class Answer:
    """An answer as it stands."""

    response: int
    revision: int
    item: int
    annotator: str
    purpose: str
    """normal | gold | repeat | screening"""
    state: str
    """counted | late"""
    late: bool
    value: Value
    order: tuple[int, ...]
    """Replies in the order shown."""
    reason: str
    active_ms: int | None
    guideline: int
    markdown: bool
    at: datetime

    @property
    def seconds(self) -> float | None:
        """Time at work."""
        return None if self.active_ms is None else self.active_ms / 1000


@dataclass(frozen=True)
class Member:
    """What is known of a person without knowing who it is."""

    groups: dict[str, str] = field(default_factory=dict[str, str])
    consent: int | None = None
    """Version of the text that they agreed to."""


@dataclass(frozen=True)
class Instructions:
    """A version of the guidelines."""

    version: int
    sha256: str
    created_at: datetime


@dataclass(frozen=True)
class Gathered:
    """A campaign with all of its answers that count, or came too late to count."""

    campaign: int
    name: str
    """`project/campaign`"""
    state: str
    seed: int
    settings: CampaignSettings
    cases: dict[int, Case]
    answers: tuple[Answer, ...]
    """In the order in which they were first sent."""
    people: dict[str, Member]
    guidelines: tuple[Instructions, ...]

    @property
    def work(self) -> Kind:
        """What was asked."""
        return self.settings.work

    def limited(self, names: Collection[str]) -> "Gathered":
        """The same without items of other external ids and the answers to them."""
        wanted = set(names)
        cases = {n: case for n, case in self.cases.items() if case.external_id in wanted}
        answers = tuple(answer for answer in self.answers if answer.item in cases)
        return replace(self, cases=cases, answers=answers)

    def counted(self) -> list[Answer]:
        """The answers that the campaign was made for: no gold, no repeats, none that was late."""
        return [a for a in self.answers if a.purpose == "normal" and a.state == "counted"]


def gather(session: Session, actor: Actor, action: Action, campaign: int) -> Gathered:
    """Reads a campaign.

    Args:
        session: one state of the database.
        actor: who asks.
        action: what for; they need the right to it.
        campaign: its number.

    Raises:
        Missing: it is not there, or not for the one who asks.
        Refused: it may be seen, but this may not be done.
    """
    row = campaign_row(session, actor, action, campaign)
    settings = settings_of(row)
    places = _places(session, campaign)
    answers = _answers(session, campaign, settings.work, places)
    project = session.get_one(Project, row.project_id)
    return Gathered(
        campaign=row.id,
        name=f"{project.name}/{row.name}",
        state=row.state,
        seed=row.seed,
        settings=settings,
        cases=_cases(session, campaign, settings.work, places),
        answers=answers,
        people=_people(session, {answer.annotator for answer in answers}),
        guidelines=tuple(
            Instructions(one.version, one.sha256, one.created_at)
            for one in session.scalars(
                select(Guideline)
                .where(Guideline.campaign_id == campaign)
                .order_by(Guideline.version)
            )
        ),
    )


def _places(session: Session, campaign: int) -> dict[int, int]:
    """Index of each reply by its id."""
    query = select(Candidate.id, Candidate.idx).join(Item, Candidate.item_id == Item.id)
    return dict(session.execute(query.where(Item.campaign_id == campaign)).tuples().all())


def _cases(session: Session, campaign: int, work: Work, places: dict[int, int]) -> dict[int, Case]:
    replies, golds = _replies(session, campaign), _golds(session, campaign)
    hints: defaultdict[int, list[Hint]] = defaultdict(list)
    query = select(Suggestion).join(Item, Suggestion.item_id == Item.id)
    for one in session.scalars(query.where(Item.campaign_id == campaign).order_by(Suggestion.id)):
        value = work.renamed(one.value, places.__getitem__)
        hints[one.item_id].append(Hint(one.agent, one.question, value, one.score))
    items = session.scalars(select(Item).where(Item.campaign_id == campaign).order_by(Item.id))
    return {
        item.id: Case(
            id=item.id,
            external_id=item.external_id,
            messages=tuple(Message.model_validate(one) for one in item.messages),
            role=item.role,
            stratum=item.stratum,
            propensity=item.propensity,
            target=item.target,
            meta=dict(item.meta),
            replies=tuple(replies[item.id]),
            accepted=tuple(work.renamed(one, places.__getitem__) for one in golds.get(item.id, ())),
            hints=tuple(hints[item.id]),
        )
        for item in items
    }


def _replies(session: Session, campaign: int) -> dict[int, list[Reply]]:
    """Replies of each item in their own order."""
    steps: defaultdict[int, list[str]] = defaultdict(list)
    stepped = select(Step).join(Candidate, Step.candidate_id == Candidate.id)
    stepped = stepped.join(Item, Candidate.item_id == Item.id).where(Item.campaign_id == campaign)
    for step in session.scalars(stepped.order_by(Step.candidate_id, Step.idx)):
        steps[step.candidate_id].append(step.text)
    query = select(Candidate).join(Item, Candidate.item_id == Item.id)
    query = query.where(Item.campaign_id == campaign).order_by(Candidate.item_id, Candidate.idx)
    found: defaultdict[int, list[Reply]] = defaultdict(list)
    for one in session.scalars(query):
        found[one.item_id].append(Reply(one.text, one.model, tuple(steps[one.id])))
    return found


def _golds(session: Session, campaign: int) -> dict[int, list[Any]]:
    query = select(Gold.item_id, Gold.accepted).join(Item, Gold.item_id == Item.id)
    return dict(session.execute(query.where(Item.campaign_id == campaign)).tuples().all())


def _answers(
    session: Session, campaign: int, work: Work, places: dict[int, int]
) -> tuple[Answer, ...]:
    query = (
        select(Response, Assignment.purpose, Assignment.order)
        .join(Assignment, Response.assignment_id == Assignment.id)
        .where(Response.campaign_id == campaign, Response.state.in_(("counted", "late")))
        .order_by(Response.submitted_at, Response.id)
    )
    return tuple(
        Answer(
            response=one.id,
            revision=one.revision,
            item=one.item_id,
            annotator=one.annotator_id,
            purpose=purpose,
            state=one.state,
            late=one.late,
            value=work.renamed(one.value or {}, places.__getitem__),
            order=_indices(order, places),
            reason=one.reason,
            active_ms=one.active_ms,
            guideline=one.guideline_version,
            markdown=one.markdown,
            at=one.submitted_at,
        )
        for one, purpose, order in session.execute(query)
    )


def _indices(order: Sequence[int], places: dict[int, int]) -> tuple[int, ...]:
    return tuple(places[one] for one in order)


def _people(session: Session, names: Iterable[str]) -> dict[str, Member]:
    wanted = set(names)
    return {
        one.id: Member(dict(one.groups), one.consent_version)
        for one in session.scalars(select(Annotator).order_by(Annotator.id))
        if one.id in wanted
    }
