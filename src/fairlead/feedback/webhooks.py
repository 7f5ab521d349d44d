"""Webhooks: other servers are told of events, with ids only.

An event is an entry of the audit chain, which is written in the transaction of what happened, so no
event is lost and none is told of that did not happen. The outbox is filled from the chain; a
delivery is repeated until it succeeds or was tried `MOST_ATTEMPTS` times, so a receiver may see one
twice and knows it by its id. Headers and signature follow the Standard Webhooks specification 1.0.0
(standardwebhooks.com).

Addresses are set by owners only. Each is resolved once per delivery, connected to by number, and
must be public; redirects are not followed. So no webhook can reach what lies beside the server.
"""

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fairlead.core.errors import ConfigError, FairleadError, ServiceError
from fairlead.feedback import audit
from fairlead.feedback.permissions import Actor, Thing, missing, require
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import Audit, AuditHead, Webhook, WebhookDelivery

EVENTS = {
    "answer.submitted": ("submit",),
    "answer.revised": ("revise",),
    "answer.undone": ("undo",),
    "task.skipped": ("skip",),
    "task.flagged": ("flag",),
    "items.added": ("add_items",),
    "campaign.changed": (
        "create_campaign",
        "change_campaign",
        "campaign_draft",
        "campaign_open",
        "campaign_paused",
        "campaign_closed",
    ),
    "person.joined": ("join",),
}
"""Events and the actions of the audit chain that they stand for."""
_EVENT_OF = {action: event for event, actions in EVENTS.items() for action in actions}

MOST_ATTEMPTS = 10
FIRST_WAIT = timedelta(seconds=10)
"""Before the second attempt; doubles with each further one."""
LEASE = timedelta(minutes=2)
"""A delivery that a killed server was sending is sent again after this."""
KEPT = timedelta(days=14)
"""How long deliveries that came to an end are kept."""


@dataclass(frozen=True)
class WebhookInfo:
    """A webhook without its secret."""

    id: int
    url: str
    events: tuple[str, ...]
    active: bool
    waiting: int
    """Deliveries that are still to be sent."""
    last_status: str
    created_at: datetime


# Owners set them up


def add_webhook(
    store: Store, actor: Actor, url: str, events: Sequence[str], *, now: datetime
) -> tuple[int, str]:
    """Tells an address of what happens from now on.

    Returns:
        Its id, and the secret that signs what it gets; the secret is not shown again.

    Raises:
        ConfigError: not an https address of another machine, or an unknown event.
    """
    require(actor, "administer", Thing())
    _check_address(url)
    unknown = set(events) - EVENTS.keys()
    if unknown or not events:
        raise ConfigError(
            "a webhook needs events",
            where="events",
            expected="some of " + ", ".join(EVENTS),
            got=", ".join(sorted(unknown))[:200] or "none",
        )
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with store.write() as session:
        row = Webhook(
            url=url,
            secret=secret,
            events=sorted(set(events)),
            last_seq=session.get_one(AuditHead, 1).seq,
            created_at=now,
        )
        session.add(row)
        session.flush()
        audit.record(session, now, actor.pseudonym, "add_webhook", f"webhook:{row.id}", url)
        return row.id, secret


def list_webhooks(store: Store, actor: Actor) -> list[WebhookInfo]:
    """All webhooks; owners only."""
    require(actor, "administer", Thing())
    with store.read() as session:
        rows = session.scalars(select(Webhook).order_by(Webhook.id)).all()
        return [_info(session, row) for row in rows]


def remove_webhook(store: Store, actor: Actor, webhook: int, *, now: datetime) -> None:
    """Tells an address nothing more; what waits for it is dropped.

    Raises:
        Missing: there is none of this number.
    """
    require(actor, "administer", Thing())
    with store.write() as session:
        row = session.get(Webhook, webhook)
        if row is None:
            raise missing(f"webhook {webhook}")
        session.execute(delete(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook))
        session.delete(row)
        session.flush()
        audit.record(session, now, actor.pseudonym, "remove_webhook", f"webhook:{webhook}")


# The outbox


def fill_outbox(store: Store, *, now: datetime, most: int = 1000) -> int:
    """Makes deliveries of the events since the last call; returns how many."""

    def fill(session: Session) -> int:
        hooks = select(Webhook).where(Webhook.active).with_for_update(skip_locked=True)
        made = sum(_fill_one(session, hook, now, most) for hook in session.scalars(hooks).all())
        session.execute(
            delete(WebhookDelivery).where(
                WebhookDelivery.state.in_(("sent", "failed")),
                WebhookDelivery.created_at < now - KEPT,
            )
        )
        return made

    with store.read() as session:
        if session.scalar(select(Webhook.id).where(Webhook.active).limit(1)) is None:
            return 0
    return store.transact(fill)


def _fill_one(session: Session, hook: Webhook, now: datetime, most: int) -> int:
    query = select(Audit).where(Audit.seq > hook.last_seq).order_by(Audit.seq).limit(most)
    made = 0
    for link in session.scalars(query).all():
        event = _EVENT_OF.get(link.action, "")
        if event in hook.events:
            payload = {
                "type": event,
                "timestamp": link.at.isoformat(),
                "data": {"seq": link.seq, "action": link.action, "object": link.object},
            }
            session.add(
                WebhookDelivery(
                    webhook_id=hook.id, event=event, payload=payload, next_at=now, created_at=now
                )
            )
            made += 1
        hook.last_seq = link.seq
    return made


# Sending


class Undeliverable(ServiceError):
    """A webhook's address that cannot be reached, or may not be."""


def resolve(host: str) -> list[str]:
    """The addresses of a name, as the machine sees them."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet, also inside of a tunnel's address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast and not found.is_reserved


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class Sender:
    """Posts to an address that was resolved once; follows nothing."""

    resolve: Callable[[str], list[str]] = resolve
    admits: Callable[[str], bool] = is_public
    """Which addresses may be reached."""
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    timeout_s: float = 10.0

    def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        """Sends once and returns the status of the answer, whose content is not read.

        Raises:
            Undeliverable: the name does not resolve, resolves to an address that may not be
                reached, or nobody answers in time.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            address = self._address(host)
            connection = _ToAddress(host, port, address, self.context, self.timeout_s)
            try:
                connection.request("POST", path, body, headers)
                return connection.getresponse().status
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise Undeliverable("nobody answers", where=host, got=type(error).__name__) from error

    def _address(self, host: str) -> str:
        found = self.resolve(host)
        refused = [one for one in found if not self.admits(one)]
        # One bad address among good ones is how a name is turned against a server.
        if refused or not found:
            raise Undeliverable(
                "this address may not be reached",
                where=host,
                expected="a name of the public internet",
                got=", ".join(refused) or "no address",
            )
        return found[0]


class _ToAddress(http.client.HTTPSConnection):
    """A connection to a number, with the certificate checked against the name."""

    def __init__(
        self, host: str, port: int, address: str, context: ssl.SSLContext, timeout: float
    ) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._to, self._tls = address, context

    def connect(self) -> None:
        """Connects to the address that was checked."""
        plain = socket.create_connection((self._to, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def signed(secret: str, number: str, at: datetime, body: bytes) -> dict[str, str]:
    """Headers with which a receiver knows who sent this and that it is new."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    stamp = str(int(at.timestamp()))
    text = f"{number}.{stamp}.".encode() + body
    digest = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": "fairlead",
        "webhook-id": number,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{digest}",
    }


def deliver_due(store: Store, sender: Sender, *, now: datetime, most: int = 20) -> int:
    """Sends what is due; returns how many deliveries were tried."""
    due = store.transact(lambda session: _take_due(session, now, most))
    for one in due:
        status, sent = _try(sender, one, now)
        store.transact(lambda session, s=status, ok=sent, d=one: _note(session, d, s, ok, now))
    return len(due)


@dataclass(frozen=True)
class _Due:
    id: int
    url: str
    secret: str
    payload: dict[str, Any]


def _take_due(session: Session, now: datetime, most: int) -> list[_Due]:
    query = (
        select(WebhookDelivery, Webhook)
        .join(Webhook, WebhookDelivery.webhook_id == Webhook.id)
        .where(WebhookDelivery.state == "waiting", WebhookDelivery.next_at <= now)
        .order_by(WebhookDelivery.id)
        .limit(most)
        .with_for_update(skip_locked=True, of=WebhookDelivery)
    )
    due: list[_Due] = []
    for delivery, hook in session.execute(query).all():
        delivery.attempts += 1
        delivery.next_at = now + LEASE
        due.append(_Due(delivery.id, hook.url, hook.secret, delivery.payload))
    return due


def _try(sender: Sender, one: _Due, now: datetime) -> tuple[str, bool]:
    body = json.dumps(one.payload, separators=(",", ":")).encode()
    try:
        status = sender.post(one.url, signed(one.secret, f"msg_{one.id}", now, body), body)
    except FairleadError as error:
        return f"{error.what}: {error.got}"[:200], False
    return str(status), 200 <= status < 300


def _note(session: Session, one: _Due, status: str, sent: bool, now: datetime) -> None:
    row = session.get(WebhookDelivery, one.id, with_for_update=True)
    if row is None:
        return
    row.last_status = status
    row.next_at = now + FIRST_WAIT * 2 ** (row.attempts - 1)
    if sent:
        row.state = "sent"
    elif row.attempts >= MOST_ATTEMPTS:
        row.state = "failed"


class Worker(threading.Thread):
    """Fills the outbox and empties it, beside the server, until it is stopped."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        failed: Callable[[Exception], None],
        sender: Sender | None = None,
        pause_s: float = 2.0,
    ) -> None:
        super().__init__(name="webhooks", daemon=True)
        self._store, self._clock, self._failed = store, clock, failed
        self._sender, self._pause_s = sender or Sender(), pause_s
        self._ended = threading.Event()

    def run(self) -> None:
        """Works until it is stopped; a failure is reported and does not end it."""
        while not self._ended.wait(self._pause_s):
            try:
                fill_outbox(self._store, now=self._clock())
                while deliver_due(self._store, self._sender, now=self._clock()):
                    pass
            except Exception as error:
                self._failed(error)

    def stop(self) -> None:
        """Ends the thread after what it is doing."""
        self._ended.set()
        self.join(timeout=15)


# Parts


def _check_address(url: str) -> None:
    if not _may_be_told(url):
        raise ConfigError(
            "a webhook cannot be sent there",
            where="url",
            expected="https://, a public name, no user name in it",
            got=url[:200] if url.isprintable() else "an address with other characters",
        )


def _may_be_told(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > 2000:
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or parts.username is not None or port == 0:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host and not host.endswith((".local", ".localhost", ".internal"))
    return is_public(host)


def _info(session: Session, row: Webhook) -> WebhookInfo:
    mine = select(WebhookDelivery).where(WebhookDelivery.webhook_id == row.id)
    waiting = session.scalars(mine.where(WebhookDelivery.state == "waiting")).all()
    tried = mine.where(WebhookDelivery.attempts > 0).order_by(WebhookDelivery.id.desc()).limit(1)
    last = session.scalar(tried)
    return WebhookInfo(
        row.id,
        row.url,
        tuple(row.events),
        row.active,
        len(waiting),
        "" if last is None else last.last_status,
        row.created_at,
    )
