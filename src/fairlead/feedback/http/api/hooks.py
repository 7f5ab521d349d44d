"""Webhooks; owners only."""

from typing import Annotated

from pydantic import Field

from fairlead.feedback import webhooks
from fairlead.feedback.http.api.common import Id, part
from fairlead.feedback.http.visits import Database, Now, Visitor
from fairlead.feedback.webhooks import WebhookInfo
from fairlead.records import Record

router = part("webhooks")


class NewWebhook(Record):
    """An address that is told of events."""

    url: Annotated[str, Field(max_length=2000)]
    events: tuple[str, ...]


class MadeWebhook(Record):
    """The webhook's number, and the secret of its signatures, which is not shown again."""

    id: int
    secret: str


@router.get("/webhooks")
def list_webhooks(store: Database, visit: Visitor) -> list[WebhookInfo]:
    """All webhooks, without their secrets."""
    return webhooks.list_webhooks(store, visit.actor)


@router.post("/webhooks", status_code=201)
def add_webhook(store: Database, visit: Visitor, now: Now, body: NewWebhook) -> MadeWebhook:
    """Tell an address of what happens from now on."""
    number, secret = webhooks.add_webhook(store, visit.actor, body.url, body.events, now=now)
    return MadeWebhook(id=number, secret=secret)


@router.delete("/webhooks/{webhook}", status_code=204)
def remove_webhook(store: Database, visit: Visitor, now: Now, webhook: Id) -> None:
    """Tell an address nothing more."""
    webhooks.remove_webhook(store, visit.actor, webhook, now=now)
