"""Accounts, invitations, sessions and API tokens. Secrets leave once and are stored as hashes."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import Row, bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from fairlead.core.errors import ConfigError, DataError
from fairlead.feedback import audit
from fairlead.feedback.errors import Conflict, LoginFailed, Missing
from fairlead.feedback.permissions import Actor, Role, Scope, Thing, missing, require
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    Account,
    Annotator,
    ApiToken,
    Consent,
    Invitation,
    LoginSession,
    Membership,
    Project,
)

TRIES = 10
LOCK = timedelta(minutes=15)
"""An account rests this long after `TRIES` wrong passwords in a row."""
SESSION = timedelta(days=7)
IDLE = timedelta(hours=12)
"""A session ends after this long without a request."""
SHORTEST = 10
"""Characters of a password."""

_HASHER = PasswordHasher()
_DECOY = (
    "$argon2id$v=19$m=65536,t=3,p=4$RidJKGzUzHuSxlNoDA0yaw"
    "$AiXBio+zF2a7afCEpmlCUUfJou8no4o15WvzeTv57tM"
)
"""Hash of a random text that nobody knows, verified where there is no such login, so that the
answer takes as long. Written out, because making it would hold up the start of the server."""
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,99}")

# Every request asks who it is, so each way of asking is one statement, built once.
_PERSON = (
    select(Account.id, Account.role, Account.state, Annotator.id.label("pseudonym"))
    .add_columns(Membership.project_id)
    .join(Annotator, Annotator.account_id == Account.id)
    .outerjoin(Membership, Membership.annotator_id == Annotator.id)
)
_BY_ACCOUNT = _PERSON.where(Account.id == bindparam("account"))
_BY_SESSION = (
    _PERSON.add_columns(LoginSession.csrf, LoginSession.seen_at, LoginSession.expires_at)
    .join(LoginSession, LoginSession.account_id == Account.id)
    .where(LoginSession.id_sha256 == bindparam("digest"))
)
_BY_TOKEN = (
    _PERSON.add_columns(ApiToken.id.label("token"), ApiToken.scopes, ApiToken.used_at)
    .add_columns(ApiToken.expires_at, ApiToken.revoked_at)
    .join(ApiToken, ApiToken.account_id == Account.id)
    .where(ApiToken.sha256 == bindparam("digest"))
)


@dataclass(frozen=True)
class LoggedIn:
    """A session. `token` is the cookie's value and is only known right after the login."""

    actor: Actor
    csrf: str
    token: str = ""


@dataclass(frozen=True)
class Person:
    """What owners see of an account."""

    pseudonym: str
    login: str
    role: str
    state: str
    created_at: datetime


@dataclass(frozen=True)
class TokenInfo:
    """What is shown of an API token after it was made."""

    id: int
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class Profile:
    """What a person sees of themselves."""

    pseudonym: str
    login: str
    role: str
    consent_version: int | None
    content_opt_out: bool
    groups: dict[str, str]


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
            token_sha256=_digest(secret),
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
            return _new_password(session, row.account_id, hashed, now)
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
                token_sha256=_digest(secret),
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
            _end_sessions(session, account.id)
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


# Logging in


def login(store: Store, name: str, password: str, *, now: datetime) -> LoggedIn:
    """Opens a session.

    A wrong login, a wrong password, a locked and a disabled account give the same answer after the
    same work, so that nobody learns which logins exist.

    Raises:
        LoginFailed: with one wording for every cause.
    """
    with store.read() as session:
        found = session.scalar(select(Account).where(Account.login == name.strip().lower()))
        account_id = None if found is None else found.id
        hashed = _DECOY if found is None else found.password_hash
        refused = found is None or found.state != "active" or _locked(found, now)
    right = _verifies(hashed, password)
    if account_id is None:
        raise _login_failed()
    if refused or not right:
        _count_failure(store, account_id, now)
        raise _login_failed()
    return _open_session(store, account_id, now)


def session_actor(store: Store, token: str, *, now: datetime) -> LoggedIn:
    """Who a session's cookie belongs to.

    Raises:
        LoginFailed: unknown, expired or logged out.
    """
    with store.read() as session:
        found = session.execute(_BY_SESSION, {"digest": _digest(token)}).all()
    actor, row = _actor(found), found[0]
    if now >= row.expires_at or now >= row.seen_at + IDLE:
        raise _not_logged_in()
    if now - row.seen_at > timedelta(minutes=1):
        with store.write() as session:
            session.execute(
                update(LoginSession)
                .where(LoginSession.id_sha256 == _digest(token))
                .values(seen_at=now)
            )
    return LoggedIn(actor, row.csrf)


def logout(store: Store, token: str) -> None:
    """Ends a session."""
    with store.write() as session:
        session.execute(delete(LoginSession).where(LoginSession.id_sha256 == _digest(token)))


def logout_everywhere(store: Store, actor: Actor) -> None:
    """Ends all sessions of a person."""
    with store.write() as session:
        _end_sessions(session, actor.account_id)


def change_password(store: Store, actor: Actor, old: str, new: str, *, now: datetime) -> None:
    """Sets a new password and ends all sessions.

    Raises:
        LoginFailed: the old password is wrong.
    """
    hashed = hash_password(new)
    with store.read() as session:
        account = session.get(Account, actor.account_id)
        known = _DECOY if account is None else account.password_hash
    if not _verifies(known, old) or actor.account_id is None:
        raise _login_failed()
    with store.write() as session:
        _new_password(session, actor.account_id, hashed, now)


# API tokens


def create_token(
    store: Store,
    actor: Actor,
    name: str,
    scopes: frozenset[Scope],
    *,
    now: datetime,
    valid: timedelta | None = timedelta(days=90),
) -> str:
    """Makes a key for a program and returns it; it cannot be shown again.

    Raises:
        ConfigError: no such scope.
        LoginFailed: a token cannot make tokens; log in.
    """
    unknown = scopes - {"label", "read", "manage", "export", "identity"}
    if unknown or not scopes:
        raise ConfigError(
            "a token needs scopes",
            expected="some of label, read, manage, export, identity",
            got=", ".join(sorted(unknown)) or "none",
        )
    if actor.account_id is None or actor.scopes is not None:
        raise _not_logged_in()
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    plain = f"fl_{prefix}_{secret}"
    with store.write() as session:
        row = ApiToken(
            account_id=actor.account_id,
            name=name[:100],
            prefix=prefix,
            sha256=_digest(plain),
            scopes=sorted(scopes),
            created_at=now,
            expires_at=None if valid is None else now + valid,
        )
        session.add(row)
        session.flush()
        audit.record(session, now, actor.pseudonym, "create_token", f"token:{row.id}")
    return plain


def token_actor(store: Store, token: str, *, now: datetime) -> Actor:
    """Who an API token belongs to, with its scopes.

    Raises:
        LoginFailed: unknown, expired or revoked.
    """
    with store.read() as session:
        found = session.execute(_BY_TOKEN, {"digest": _digest(token)}).all()
    actor, row = _actor(found), found[0]
    expired = row.expires_at is not None and now >= row.expires_at
    if row.revoked_at is not None or expired:
        raise _not_logged_in()
    if row.used_at is None or now - row.used_at >= timedelta(minutes=1):
        with store.write() as session:
            session.execute(update(ApiToken).where(ApiToken.id == row.token).values(used_at=now))
    return replace(actor, scopes=frozenset(row.scopes))


def list_tokens(store: Store, actor: Actor) -> list[TokenInfo]:
    """A person's own tokens, without their secrets."""
    with store.read() as session:
        rows = session.scalars(
            select(ApiToken).where(ApiToken.account_id == actor.account_id).order_by(ApiToken.id)
        )
        return [
            TokenInfo(
                row.id,
                row.name,
                row.prefix,
                tuple(row.scopes),
                row.created_at,
                row.expires_at,
                row.used_at,
                row.revoked_at,
            )
            for row in rows
        ]


def revoke_token(store: Store, actor: Actor, token: int, *, now: datetime) -> None:
    """Ends one of a person's own tokens.

    Raises:
        Missing: it is not theirs.
    """
    with store.write() as session:
        row = session.get(ApiToken, token)
        if row is None or row.account_id != actor.account_id:
            raise missing(f"token {token}")
        row.revoked_at = row.revoked_at or now
        audit.record(session, now, actor.pseudonym, "revoke_token", f"token:{token}")


# What people say about themselves


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
        digest = _digest(text)
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


def hash_password(password: str) -> str:
    """argon2id hash of a password.

    Raises:
        DataError: too short or too long.
    """
    if not SHORTEST <= len(password) <= 200:
        raise DataError("this password cannot be used", expected=f"{SHORTEST} to 200 characters")
    return _HASHER.hash(password)


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


def _new_password(session: Session, account_id: int, hashed: str, now: datetime) -> str:
    account = session.get_one(Account, account_id)
    account.password_hash, account.failed_n, account.locked_until = hashed, 0, None
    _end_sessions(session, account_id)
    pseudonym = session.scalars(
        select(Annotator.id).where(Annotator.account_id == account_id)
    ).one()
    audit.record(session, now, pseudonym, "new_password", f"annotator:{pseudonym}")
    return pseudonym


def _account_of(session: Session, pseudonym: str) -> Account:
    query = select(Account).join(Annotator, Annotator.account_id == Account.id)
    account = session.scalar(query.where(Annotator.id == pseudonym))
    if account is None:
        raise missing(f"annotator {pseudonym}")
    return account


def _end_sessions(session: Session, account_id: int | None) -> None:
    session.execute(delete(LoginSession).where(LoginSession.account_id == account_id))


def _recorded_member(
    session: Session, now: datetime, actor: Actor, action: str, project: int, who: str
) -> None:
    audit.record(session, now, actor.pseudonym, action, f"project:{project}", who)


def _invitation(session: Session, secret: str, now: datetime, *, lock: bool = False) -> Invitation:
    query = select(Invitation).where(Invitation.token_sha256 == _digest(secret))
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None or row.used_at is not None or now >= row.expires_at:
        raise Missing(
            "this invitation does not work",
            got="an unknown, used or expired link",
            remedy="ask for a new one",
        )
    return row


def _actor(found: Sequence[Row[Any]]) -> Actor:
    """The person of the rows of a query, one for each of their projects.

    Raises:
        LoginFailed: there is none, or the account is disabled.
    """
    if not found or found[0].state != "active":
        raise _not_logged_in()
    projects = frozenset(row.project_id for row in found if row.project_id is not None)
    one = found[0]
    return Actor(one.pseudonym, cast(Role, one.role), projects, one.id)


def _open_session(store: Store, account_id: int, now: datetime) -> LoggedIn:
    token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with store.write() as session:
        session.execute(delete(LoginSession).where(LoginSession.expires_at < now))
        session.execute(
            update(Account).where(Account.id == account_id).values(failed_n=0, locked_until=None)
        )
        session.add(
            LoginSession(
                id_sha256=_digest(token),
                account_id=account_id,
                csrf=csrf,
                created_at=now,
                seen_at=now,
                expires_at=now + SESSION,
            )
        )
        session.flush()
        actor = _actor(session.execute(_BY_ACCOUNT, {"account": account_id}).all())
        audit.record(session, now, actor.pseudonym, "login", f"annotator:{actor.pseudonym}")
    return LoggedIn(actor, csrf, token)


def _count_failure(store: Store, account_id: int, now: datetime) -> None:
    with store.write() as session:
        account = session.get(Account, account_id, with_for_update=True)
        if account is None or _locked(account, now):
            return
        account.failed_n += 1
        if account.failed_n >= TRIES:
            account.failed_n, account.locked_until = 0, now + LOCK


def _locked(account: Account, now: datetime) -> bool:
    return account.locked_until is not None and now < account.locked_until


def _verifies(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password[:1000])
    except (Argon2Error, InvalidHashError):
        return False


def _login_name(text: str) -> str:
    name = text.strip().lower()
    if not _LOGIN.fullmatch(name):
        raise DataError(
            "this login cannot be used",
            where="login",
            expected="2 to 100 letters, digits and . _ @ + -",
        )
    return name


def _login_failed() -> LoginFailed:
    return LoginFailed(
        "login failed",
        got="a wrong login or password, or an account that is locked",
        remedy=f"check both; after {TRIES} wrong passwords an account rests for 15 minutes",
    )


def _not_logged_in() -> LoginFailed:
    return LoginFailed("you are not logged in", remedy="log in; what you typed is kept")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
