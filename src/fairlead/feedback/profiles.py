"""What people say about themselves, and what they agree to."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from fairlead.core.errors import DataError
from fairlead.feedback import audit
from fairlead.feedback.errors import Conflict
from fairlead.feedback.logins import digest_of
from fairlead.feedback.permissions import Actor, Thing, missing, require
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    Account,
    Annotator,
    Consent,
)


@dataclass(frozen=True)
class Profile:
    """What a person sees of themselves."""

    pseudonym: str
    login: str
    role: str
    consent_version: int | None
    content_opt_out: bool
    groups: dict[str, str]


def profile(store: Store, actor: Actor) -> Profile:
    """What is known about the one who asks."""
    with store.read() as session:
        row = session.get(Annotator, actor.pseudonym)
        account = session.get(Account, actor.account_id) if actor.account_id else None
        if row is None:
            raise missing(f"annotator {actor.pseudonym}")
        return Profile(
            row.id,
            "" if account is None else account.login,
            actor.role,
            row.consent_version,
            row.content_opt_out,
            dict(row.groups),
        )


def set_profile(
    store: Store,
    actor: Actor,
    *,
    groups: dict[str, str] | None = None,
    content_opt_out: bool | None = None,
    now: datetime,
) -> None:
    """Sets one's own groups, or whether one wants to see content that may distress."""
    if groups is not None and (
        len(groups) > 20 or any(len(k + v) > 200 for k, v in groups.items())
    ):
        raise DataError("too many or too long groups", expected="at most 20 short names and values")
    with store.write() as session:
        row = session.get(Annotator, actor.pseudonym)
        if row is None:
            raise missing(f"annotator {actor.pseudonym}")
        row.groups = row.groups if groups is None else groups
        row.content_opt_out = row.content_opt_out if content_opt_out is None else content_opt_out
        session.flush()
        audit.record(session, now, actor.pseudonym, "set_profile", f"annotator:{row.id}")


def add_consent(store: Store, actor: Actor, text: str, *, now: datetime) -> int:
    """Stores a new version of the consent text; everybody is asked again. Owners only."""
    require(actor, "administer", Thing())
    with store.write() as session:
        version = (session.scalar(select(func.max(Consent.version))) or 0) + 1
        digest = digest_of(text)
        session.add(Consent(version=version, text=text, sha256=digest, created_at=now))
        session.flush()
        audit.record(session, now, actor.pseudonym, "add_consent", f"consent:{version}", digest)
    return version


def current_consent(store: Store) -> tuple[int, str] | None:
    """Version and text of what people agree to; None if nothing was written yet."""
    with store.read() as session:
        row = session.scalar(select(Consent).order_by(Consent.version.desc()).limit(1))
        return None if row is None else (row.version, row.text)


def give_consent(store: Store, actor: Actor, version: int, *, now: datetime) -> None:
    """Records that a person agreed to a version.

    Raises:
        Conflict: it is not the current one.
    """
    with store.write() as session:
        newest = session.scalar(select(func.max(Consent.version)))
        row = session.get(Annotator, actor.pseudonym)
        if row is None:
            raise missing(f"annotator {actor.pseudonym}")
        if version != newest:
            raise Conflict(
                "the text has changed", expected=f"version {newest}", got=f"version {version}"
            )
        row.consent_version, row.consent_at = version, now
        session.flush()
        audit.record(session, now, actor.pseudonym, "consent", f"consent:{version}")
