"""Rounds of the online loop: a policy's replies go to people once, and their answers come back.

A round is a set of external ids. What is asked again with the same content is known, so that a
caller that was stopped in between goes on where it was.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from fairlead.core.errors import ConfigError
from fairlead.feedback.campaign_items import Added, NewBatch, NewItem, add_items
from fairlead.feedback.campaigns import CampaignInfo, campaign_row, get_campaign
from fairlead.feedback.errors import Conflict
from fairlead.feedback.permissions import Actor
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import Item
from fairlead.records import Message, Prompt

ON_ONE_REPLY = ("binary", "likert", "ratings")
LABELLING = ("pairwise", "ranking", *ON_ONE_REPLY)
"""Kinds of work whose answers train a reward model."""


@dataclass(frozen=True)
class RoundState:
    """How far a round is."""

    campaign: str
    state: str
    """draft | open | paused | closed: the campaign's own."""
    items: int
    done: int
    dropped: int
    """Items that too many people skipped; nobody is asked about them any more."""
    answers: int
    wanted: int
    """Answers that make the round complete, without dropped items."""

    @property
    def complete(self) -> bool:
        """Whether nothing more will come."""
        return self.done + self.dropped == self.items

    def __str__(self) -> str:
        dropped = f", {self.dropped} items dropped" if self.dropped else ""
        return f"{self.answers} of {self.wanted} answers to {self.items} items{dropped}"


def open_round(
    store: Store,
    actor: Actor,
    campaign: int,
    items: Sequence[NewItem],
    batch: NewBatch,
    *,
    now: datetime,
) -> Added:
    """Hands a round's items to a campaign; one that is there already is not added again.

    Raises:
        Conflict: the campaign is closed, or an external id is there with other content.
        DataError: an item does not fit the campaign's kind of work.
    """
    found = get_campaign(store, actor, campaign)
    state = round_state(store, actor, campaign, [item.external_id for item in items])
    if state.items == len(items):
        return Added(0, len(items), None)
    if found.state == "closed":
        raise Conflict(
            "a closed campaign takes no new round",
            where=f"campaign {found.name}",
            remedy="open it again, or name another campaign",
        )
    return add_items(store, actor, campaign, items, now=now, batch=batch)


def round_state(store: Store, actor: Actor, campaign: int, names: Iterable[str]) -> RoundState:
    """How far the items of these external ids are; ids that are not there are not counted."""
    wanted = set(names)
    with store.read() as session:
        row = campaign_row(session, actor, "see_answers", campaign)
        query = select(Item.external_id, Item.state, Item.done_n, Item.target)
        rows = session.execute(query.where(Item.campaign_id == campaign, Item.role == "normal"))
        own = [one for one in rows.tuples() if one[0] in wanted]
        states = Counter(state for _, state, _, _ in own)
        return RoundState(
            campaign=row.name,
            state=row.state,
            items=len(own),
            done=states["done"],
            dropped=states["dropped"],
            answers=sum(done for _, _, done, _ in own),
            wanted=sum(target for _, state, _, target in own if state != "dropped"),
        )


def campaign_prompts(store: Store, actor: Actor, campaign: int) -> list[Prompt]:
    """What the campaign's items ask, each once, in the order in which they were added."""
    with store.read() as session:
        campaign_row(session, actor, "see_answers", campaign)
        query = select(Item).where(Item.campaign_id == campaign, Item.role == "normal")
        found: dict[str, Prompt] = {}
        for item in session.scalars(query.order_by(Item.id)):
            if item.messages and item.prompt_sha256 not in found:
                messages = tuple(Message.model_validate(one) for one in item.messages)
                subset = str(item.meta.get("subset", ""))
                found[item.prompt_sha256] = Prompt(messages=messages, subset=subset)
    return list(found.values())


def require_preferences(campaign: CampaignInfo) -> None:
    """Stops a campaign whose answers cannot train a reward model.

    Raises:
        ConfigError: its work says nothing of which reply is better.
    """
    if campaign.settings.work.kind not in LABELLING:
        raise ConfigError(
            "this campaign's work says nothing of which reply is better",
            where=f"campaign {campaign.name}",
            expected=", ".join(LABELLING),
            got=campaign.settings.work.kind,
            remedy="name a campaign of one of these kinds",
        )
