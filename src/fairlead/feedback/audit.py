"""The audit chain: who did what, each entry bound to the one before by its hash.

Entries hold ids and hashes only. What a payload hash stands for can be erased (with its nonce) and
the chain still verifies; a changed, removed or inserted entry breaks it.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.core.files import sha256_json
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import Audit, AuditHead

START = "0" * 64
"""What the first entry points back to."""
_HEAD = select(AuditHead).where(AuditHead.id == 1).with_for_update()


@dataclass(frozen=True)
class Verdict:
    """Whether the chain is whole."""

    entries: int
    broken_at: int | None = None
    """Number of the first entry that does not fit; None if all do."""
    why: str = ""

    @property
    def whole(self) -> bool:
        """Whether nothing is broken."""
        return self.broken_at is None


def record(
    session: Session, now: datetime, actor: str, action: str, thing: str, payload: Any = None
) -> None:
    """Adds an entry in the caller's transaction. Call it last: it makes others wait.

    Args:
        session: an open transaction.
        now: when it happened.
        actor: pseudonym.
        action: a verb of the program.
        thing: `kind:id` of what was acted on.
        payload: what the entry vouches for; only its hash is stored. What can be guessed from few
            possibilities needs a nonce in it.
    """
    head = session.scalars(_HEAD).one()
    link = Audit(
        seq=head.seq + 1,
        at=now,
        actor=actor,
        action=action,
        object=thing,
        payload_sha256=sha256_json(payload),
        prev=head.hash,
        hash="",
    )
    link.hash = _hash(link)
    head.seq, head.hash = link.seq, link.hash
    session.add(link)
    session.flush()


def verify_audit(store: Store) -> Verdict:
    """Walks the whole chain and names the first entry that does not fit."""
    with store.read() as session:
        seq, prev = 0, START
        links = select(Audit).order_by(Audit.seq).execution_options(yield_per=1000)
        for link in session.scalars(links):
            why = _fault(link, seq + 1, prev)
            if why:
                return Verdict(seq, seq + 1, why)
            seq, prev = link.seq, link.hash
        head = session.get_one(AuditHead, 1)
        if (head.seq, head.hash) != (seq, prev):
            why = f"the chain ends at entry {seq}, but {head.seq} entries were written"
            return Verdict(seq, seq + 1, why)
        return Verdict(seq)


def _fault(link: Audit, seq: int, prev: str) -> str:
    if link.seq != seq:
        return f"entry {seq} is missing"
    if link.prev != prev:
        return f"entry {seq} does not point to the entry before it"
    if link.hash != _hash(link):
        return f"entry {seq} was changed after it was written"
    return ""


def _hash(link: Audit) -> str:
    parts = (
        str(link.seq),
        link.at.isoformat(),
        link.actor,
        link.action,
        link.object,
        link.payload_sha256,
        link.prev,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
