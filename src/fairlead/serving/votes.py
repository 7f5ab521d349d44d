"""From an opinion on a completion to records in the feedback store.

A campaign asks one question, so there is one for each kind of opinion: NAME-good (thumbs),
NAME-score (a scale) and NAME-preferred (the reply against a better one).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.feedback import campaigns
from fairlead.feedback.campaign_items import NewCandidate, NewItem
from fairlead.feedback.campaigns import CampaignInfo, CampaignSettings
from fairlead.feedback.permissions import LOCAL
from fairlead.feedback.plans import Plan, carry_out
from fairlead.feedback.store import Store, open_store
from fairlead.feedback.unasked import remark
from fairlead.feedback.work import Binary, Kind, Likert, Pairwise, Value
from fairlead.serving.kept import Completed
from fairlead.serving.problems import Refusal
from fairlead.serving.requests import FeedbackRequest

Question = Literal["good", "score", "preferred"]

PROJECT = "served"
"""Project of campaigns whose name says none."""

WORK: dict[Question, Kind] = {
    "good": Binary(),
    "score": Likert(),
    "preferred": Pairwise(tie=False),
}
GUIDELINE = "Opinions of people who used the model; nobody was asked to give them."


@dataclass(frozen=True)
class Given:
    """An opinion as an item and its answer."""

    item: NewItem
    value: Value
    """Replies are named by index."""


class Votes:
    """Where opinions go.

    Args:
        store: the feedback store; closed by whoever opened it.
        name: NAME or PROJECT/NAME of the campaigns, without what tells them apart.

    Raises:
        ConfigError: a campaign of such a name asks something else.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        project, _, own = name.rpartition("/")
        self.name = f"{project or PROJECT}/{own}"
        self.campaigns = {
            question: _campaign(store, project or PROJECT, f"{own}-{question}", work)
            for question, work in WORK.items()
        }

    def give(self, request: FeedbackRequest, completed: Completed) -> dict[str, Any]:
        """Stores an opinion; sent again it changes nothing, or revises.

        Raises:
            Refusal: it does not fit the completion or the campaign.
            FairleadError: the store refuses it.
        """
        question: Question = next(q for q in WORK if getattr(request, q) is not None)
        campaign = self.campaigns[question]
        choice = _choice(request, completed)
        given = _MAKERS[question](request, completed, choice, campaign)
        receipt = remark(
            self.store,
            campaign.id,
            given.item,
            given.value,
            person=request.user,
            key=request.key,
            reason=request.comment,
            now=datetime.now(UTC),
        )
        return {
            "object": "feedback",
            "completion_id": completed.id,
            "choice": choice,
            "campaign": f"{self.name}-{question}",
            "status": receipt.status,
            "revision": receipt.revision,
        }

    def close(self) -> None:
        """Gives the database back."""
        self.store.close()


def open_votes(db: str, name: str) -> Votes:
    """Opens a store and makes the campaigns that are not there.

    Raises:
        ConfigError: the store cannot be opened, or a campaign asks something else.
    """
    store = open_store(db)
    try:
        return Votes(store, name)
    except BaseException:
        store.close()
        raise


def _campaign(store: Store, project: str, name: str, work: Kind) -> CampaignInfo:
    """The campaign of this name; made if there is none."""
    known = {one.name: one.id for one in campaigns.list_projects(store, LOCAL)}
    there = (
        campaigns.list_campaigns(store, LOCAL, project=known[project]) if project in known else []
    )
    found = next((one for one in there if one.name == name), None)
    if found is None:
        settings = CampaignSettings(work=work)
        plan = Plan(project=project, campaign=name, settings=settings, guideline=GUIDELINE)
        number = carry_out(store, plan, now=datetime.now(UTC)).campaign
        return campaigns.get_campaign(store, LOCAL, number)
    _refuse_other(found, work)
    return found


def _refuse_other(found: CampaignInfo, wanted: Kind) -> None:
    own = found.settings.work
    fits = own.kind == wanted.kind
    if isinstance(own, Pairwise):
        fits = fits and own.polarity == "better" and not own.strengths
    if not fits:
        raise ConfigError(
            "a campaign of this name asks something else",
            where=f"campaign {found.name}",
            expected=f"work of kind {wanted.kind}",
            got=f"{own.kind}, {own.model_dump(mode='json')}",
            remedy="choose another --campaign",
        )


def _choice(request: FeedbackRequest, completed: Completed) -> int:
    n = len(completed.replies)
    if request.choice is None and n > 1:
        raise Refusal(
            "the completion has several replies",
            expected=f"choice: 0 to {n - 1}",
            remedy="say which one is meant",
        ).at("choice")
    choice = request.choice or 0
    if choice >= n:
        raise Refusal(
            "the completion has no such reply", expected=f"choice: 0 to {n - 1}", got=str(choice)
        ).at("choice")
    return choice


# Opinions as items


def _good(
    request: FeedbackRequest, completed: Completed, choice: int, campaign: CampaignInfo
) -> Given:
    return Given(_item(completed, choice, (_reply(completed, choice),)), {"good": request.good})


def _score(
    request: FeedbackRequest, completed: Completed, choice: int, campaign: CampaignInfo
) -> Given:
    work, score = campaign.settings.work, request.score
    assert isinstance(work, Likert) and score is not None
    if score not in range(1, work.levels + 1):
        raise Refusal(
            "the score is not a level of the scale",
            where=f"campaign {campaign.name}",
            expected=f"a whole number from 1 ({work.low}) to {work.levels} ({work.high})",
            got=f"{score:g}",
        ).at("score")
    item = _item(completed, choice, (_reply(completed, choice),))
    return Given(item, {"score": int(score)})


def _preferred(
    request: FeedbackRequest, completed: Completed, choice: int, campaign: CampaignInfo
) -> Given:
    text = request.preferred or ""
    if text == completed.replies[choice]:
        raise Refusal(
            "the preferred reply is the one that was given",
            expected="another text",
            remedy="send good: true to praise the reply",
        ).at("preferred")
    better = NewCandidate(text=text)
    pair = (better, _reply(completed, choice))
    # In an order of chance: the first must not always be the better one.
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    seed = Seed(campaign.seed).child("preferred", completed.id, choice, digest)
    first = int(seed.numpy().integers(2))
    pair = pair if first == 0 else pair[::-1]
    # Another text is another comparison, not a revision of the first.
    return Given(_item(completed, choice, pair, suffix=f"/{digest}"), {"preferred": first})


_MAKERS: dict[Question, Callable[[FeedbackRequest, Completed, int, CampaignInfo], Given]] = {
    "good": _good,
    "score": _score,
    "preferred": _preferred,
}


def _item(
    completed: Completed, choice: int, candidates: tuple[NewCandidate, ...], *, suffix: str = ""
) -> NewItem:
    return NewItem(
        external_id=f"{completed.id}/{choice}{suffix}",
        messages=completed.messages,
        candidates=candidates,
        target=1,
        meta={"source": "serve", "completion": completed.id, "choice": choice},
    )


def _reply(completed: Completed, choice: int) -> NewCandidate:
    return NewCandidate(
        text=completed.replies[choice], model=completed.model, sampling=completed.sampling
    )
