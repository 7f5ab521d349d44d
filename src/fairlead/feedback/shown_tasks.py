"""What people see of a task: the item, its candidates, and what they said before."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from fairlead.feedback.campaigns import CampaignSettings, GuidelineInfo
from fairlead.feedback.store.tables import (
    Assignment,
    Draft,
    Guideline,
    Item,
    Response,
    Step,
    Suggestion,
)
from fairlead.feedback.work import Kind
from fairlead.records import Message


@dataclass(frozen=True)
class ShownCandidate:
    """A reply as the annotator sees it: never with the name of its model."""

    id: int
    text: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class SavedDraft:
    """What was typed so far."""

    value: dict[str, Any]
    seq: int


@dataclass(frozen=True)
class GivenAnswer:
    """The person's own answer, where there is one."""

    response: int
    value: dict[str, Any] | None
    reason: str
    revision: int
    state: str


@dataclass(frozen=True)
class ShownSuggestion:
    """What a model answered, where the campaign shows that."""

    question: str
    value: dict[str, Any]
    agent: str


@dataclass(frozen=True)
class Task:
    """All that an annotator sees of an assignment. It does not tell gold from other work."""

    assignment: int
    campaign: int
    client_key: str
    """Goes back with the answer; makes sending it twice harmless."""
    state: str
    lease_until: datetime
    work: Kind
    messages: tuple[Message, ...]
    candidates: tuple[ShownCandidate, ...]
    """In the order to be shown."""
    guideline: GuidelineInfo | None
    markdown: bool
    content_warning: str
    draft: SavedDraft | None
    answer: GivenAnswer | None
    suggestions: tuple[ShownSuggestion, ...]


_TYPED = (
    select(Draft, Response)
    .select_from(Assignment)
    .outerjoin(Draft, Draft.assignment_id == Assignment.id)
    .outerjoin(Response, Response.assignment_id == Assignment.id)
    .where(Assignment.id == bindparam("assignment"))
)


def shown_task(
    session: Session,
    settings: CampaignSettings,
    row: Assignment,
    item: Item,
    *,
    untouched: bool = False,
) -> Task:
    """What is shown. An untouched assignment was just made, so it has no draft and no answer."""
    draft = response = None
    if not untouched:
        draft, response = session.execute(_TYPED, {"assignment": row.id}).one()
    return Task(
        assignment=row.id,
        campaign=row.campaign_id,
        client_key=row.client_key,
        state=row.state,
        lease_until=row.lease_until,
        work=settings.work,
        messages=tuple(Message.model_validate(one) for one in item.messages),
        candidates=_shown_candidates(session, row, item, with_steps=settings.work.needs_steps),
        guideline=_guideline(session, row),
        markdown=settings.markdown,
        content_warning=settings.content_warning,
        draft=None if draft is None else SavedDraft(draft.value, draft.seq),
        answer=None if response is None else _given(response),
        suggestions=_suggestions(session, row) if settings.show_suggestions else (),
    )


def _shown_candidates(
    session: Session, row: Assignment, item: Item, *, with_steps: bool
) -> tuple[ShownCandidate, ...]:
    texts = {one.id: one.text for one in item.candidates}
    steps: dict[int, list[str]] = {}
    if with_steps:
        query = select(Step).where(Step.candidate_id.in_(row.order)).order_by(Step.idx)
        for step in session.scalars(query):
            steps.setdefault(step.candidate_id, []).append(step.text)
    return tuple(
        ShownCandidate(number, texts[number], tuple(steps.get(number, ()))) for number in row.order
    )


def _guideline(session: Session, row: Assignment) -> GuidelineInfo | None:
    found = None
    if row.guideline_version:
        found = session.get(Guideline, (row.campaign_id, row.guideline_version))
    if found is None:
        return None
    return GuidelineInfo(found.version, found.text, found.sha256, found.created_at)


def _given(found: Response) -> GivenAnswer:
    return GivenAnswer(found.id, found.value, found.reason, found.revision, found.state)


def _suggestions(session: Session, row: Assignment) -> tuple[ShownSuggestion, ...]:
    query = select(Suggestion).where(Suggestion.item_id == row.item_id).order_by(Suggestion.id)
    return tuple(ShownSuggestion(s.question, s.value, s.agent) for s in session.scalars(query))
