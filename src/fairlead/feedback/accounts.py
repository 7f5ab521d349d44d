"""Accounts, invitations and members of projects."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fairlead.core.errors import DataError
from fairlead.feedback import audit
from fairlead.feedback.errors import Conflict, Missing
from fairlead.feedback.logins import digest_of, end_sessions, hash_password, store_password
from fairlead.feedback.permissions import Actor, Role, Thing, missing, require
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    Account,
    Annotator,
    Invitation,
    Membership,
    Project,
)

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,99}")


@dataclass(frozen=True)
class Person:
    """What owners see of an account."""

    pseudonym: str
    login: str
    role: str
    state: str
    created_at: datetime


# Making accounts


def create_owner(store: Store, login: str, password: str, *, now: datetime) -> str:
    """Makes the first account, from the command line; returns its pseudonym.

    Raises:
        Conflict: there is an owner already.
        DataError: login or password cannot be used.
    """
    name, hashed = _login_name(login), hash_password(password)
    with store.write() as session:
        if session.scalar(select(Account.id).where(Account.role == "owner").limit(1)) is not None:
            raise Conflict(
                "this database has an owner already",
                remedy="the owner can invite others; `reset_password` makes a new link",
            )
        pseudonym = _new_account(session, name, hashed, "owner", now)
        audit.record(session, now, pseudonym, "create_owner", f"annotator:{pseudonym}")
    return pseudonym


def has_owner(store: Store) -> bool:
    """Whether somebody has made the first account."""
    with store.read() as session:
        owner = session.scalar(select(Account.id).where(Account.role == "owner").limit(1))
    return owner is not None


def invite(
    store: Store,
    actor: Actor,
    role: Role,
    *,
    now: datetime,
    project: int | None = None,
    valid: timedelta = timedelta(days=7),
) -> str:
    """Makes an invitation and returns its secret, which is shown once and works once.

    Raises:
        Refused: leads invite annotators into their own projects; only owners invite others.
    """
    action = "invite" if role == "annotator" and project is not None else "administer"
    require(actor, action, Thing(project=project, name=f"project {project}" if project else ""))
    secret = secrets.token_urlsafe(32)
    with store.write() as session:
        if project is not None and session.get(Project, project) is None:
            raise missing(f"project {project}")
        row = Invitation(
            token_sha256=digest_of(secret),
            role=role,
            project_id=project,
            created_by=actor.pseudonym,
            created_at=now,
            expires_at=now + valid,
        )
        session.add(row)
        session.flush()
        audit.record(session, now, actor.pseudonym, "invite", f"invitation:{row.id}", role)
    return secret


def invitation_role(store: Store, secret: str, *, now: datetime) -> str:
    """What an invitation is for: a role, or `reset` for a new password.

    Raises:
        Missing: unknown, used or expired.
    """
    with store.read() as session:
        row = _invitation(session, secret, now)
        return "reset" if row.account_id is not None else row.role


def accept_invitation(
    store: Store, secret: str, login: str, password: str, *, now: datetime
) -> str:
    """Makes the account of an invitation, or sets a new password; returns the pseudonym.

    Raises:
        Missing: the invitation is unknown, used or expired.
        Conflict: the login is taken.
        DataError: login or password cannot be used.
    """
    hashed = hash_password(password)
    with store.write() as session:
        row = _invitation(session, secret, now, lock=True)
        row.used_at = now
        if row.account_id is not None:
            return store_password(session, row.account_id, hashed, now)
        pseudonym = _new_account(session, _login_name(login), hashed, row.role, now)
        if row.project_id is not None:
            session.add(Membership(project_id=row.project_id, annotator_id=pseudonym))
            session.flush()
        audit.record(session, now, pseudonym, "join", f"annotator:{pseudonym}", row.role)
    return pseudonym


def reset_password(store: Store, actor: Actor, pseudonym: str, *, now: datetime) -> str:
    """Makes a link with which somebody sets a new password; owners only."""
    require(actor, "administer", Thing())
    secret = secrets.token_urlsafe(32)
    with store.write() as session:
        account = _account_of(session, pseudonym)
        session.add(
            Invitation(
                token_sha256=digest_of(secret),
                role=account.role,
                account_id=account.id,
                created_by=actor.pseudonym,
                created_at=now,
                expires_at=now + timedelta(days=1),
            )
        )
        session.flush()
        audit.record(session, now, actor.pseudonym, "reset_password", f"annotator:{pseudonym}")
    return secret


def set_account_state(
    store: Store,
    actor: Actor,
    pseudonym: str,
    state: Literal["active", "disabled"],
    *,
    now: datetime,
) -> None:
    """Lets an account in or keeps it out; a disabled one is logged out everywhere at once."""
    require(actor, "administer", Thing())
    with store.write() as session:
        account = _account_of(session, pseudonym)
        account.state = state
        if state == "disabled":
            end_sessions(session, account.id)
        audit.record(session, now, actor.pseudonym, f"account_{state}", f"annotator:{pseudonym}")


def add_member(store: Store, actor: Actor, project: int, pseudonym: str, *, now: datetime) -> None:
    """Lets somebody into a project."""
    require(actor, "manage", Thing(project=project, name=f"project {project}"))
    with store.write() as session:
        if session.get(Project, project) is None:
            raise missing(f"project {project}")
        if session.get(Annotator, pseudonym) is None:
            raise missing(f"annotator {pseudonym}")
        if session.get(Membership, (project, pseudonym)) is None:
            session.add(Membership(project_id=project, annotator_id=pseudonym))
            session.flush()
            _recorded_member(session, now, actor, "add_member", project, pseudonym)


def remove_member(
    store: Store, actor: Actor, project: int, pseudonym: str, *, now: datetime
) -> None:
    """Keeps somebody out of a project from now on; their answers stay."""
    require(actor, "manage", Thing(project=project, name=f"project {project}"))
    with store.write() as session:
        session.execute(
            delete(Membership).where(
                Membership.project_id == project, Membership.annotator_id == pseudonym
            )
        )
        _recorded_member(session, now, actor, "remove_member", project, pseudonym)


def list_people(store: Store, actor: Actor) -> list[Person]:
    """All accounts with their logins; owners only."""
    require(actor, "see_identity", Thing())
    with store.read() as session:
        rows = session.execute(
            select(Annotator.id, Account)
            .join(Account, Annotator.account_id == Account.id)
            .order_by(Account.login)
        )
        return [Person(p, a.login, a.role, a.state, a.created_at) for p, a in rows]


def person_behind(session: Session, name: str, *, now: datetime) -> str:
    """Pseudonym of somebody whom another program knows under a name; made if there is none.

    The name is the account's login, so that it can be forgotten like any other. No password opens
    the account, and nobody can choose a login with a colon.
    """
    login = f"outside:{name}"
    query = select(Annotator.id).join(Account, Annotator.account_id == Account.id)
    known = session.scalar(query.where(Account.login == login))
    if known is not None:
        return known
    pseudonym = _new_account(session, login, "", "annotator", now)
    audit.record(session, now, pseudonym, "join", f"annotator:{pseudonym}", "outside")
    return pseudonym


# Parts


def _new_account(session: Session, name: str, hashed: str, role: str, now: datetime) -> str:
    if session.scalar(select(Account.id).where(Account.login == name)) is not None:
        raise Conflict("this login is taken", where="login", remedy="choose another one")
    account = Account(login=name, password_hash=hashed, role=role, created_at=now)
    session.add(account)
    session.flush()
    pseudonym = "p" + secrets.token_hex(8)
    session.add(Annotator(id=pseudonym, account_id=account.id, created_at=now, groups={}))
    session.flush()
    return pseudonym


def _account_of(session: Session, pseudonym: str) -> Account:
    query = select(Account).join(Annotator, Annotator.account_id == Account.id)
    account = session.scalar(query.where(Annotator.id == pseudonym))
    if account is None:
        raise missing(f"annotator {pseudonym}")
    return account


def _recorded_member(
    session: Session, now: datetime, actor: Actor, action: str, project: int, who: str
) -> None:
    audit.record(session, now, actor.pseudonym, action, f"project:{project}", who)


def _invitation(session: Session, secret: str, now: datetime, *, lock: bool = False) -> Invitation:
    query = select(Invitation).where(Invitation.token_sha256 == digest_of(secret))
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None or row.used_at is not None or now >= row.expires_at:
        raise Missing(
            "this invitation does not work",
            got="an unknown, used or expired link",
            remedy="ask for a new one",
        )
    return row


def _login_name(text: str) -> str:
    name = text.strip().lower()
    if not _LOGIN.fullmatch(name):
        raise DataError(
            "this login cannot be used",
            where="login",
            expected="2 to 100 letters, digits and . _ @ + -",
        )
    return name
