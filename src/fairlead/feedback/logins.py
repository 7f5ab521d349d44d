"""Sessions, passwords and API tokens. Secrets leave once and are stored as hashes."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import Row, bindparam, delete, select, update
from sqlalchemy.orm import Session

from fairlead.core.errors import ConfigError, DataError
from fairlead.feedback import audit
from fairlead.feedback.errors import LoginFailed
from fairlead.feedback.permissions import Actor, Role, Scope, missing
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import (
    Account,
    Annotator,
    ApiToken,
    LoginSession,
    Membership,
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
        found = session.execute(_BY_SESSION, {"digest": digest_of(token)}).all()
    actor, row = _actor(found), found[0]
    if now >= row.expires_at or now >= row.seen_at + IDLE:
        raise _not_logged_in()
    if now - row.seen_at > timedelta(minutes=1):
        with store.write() as session:
            session.execute(
                update(LoginSession)
                .where(LoginSession.id_sha256 == digest_of(token))
                .values(seen_at=now)
            )
    return LoggedIn(actor, row.csrf)


def logout(store: Store, token: str) -> None:
    """Ends a session."""
    with store.write() as session:
        session.execute(delete(LoginSession).where(LoginSession.id_sha256 == digest_of(token)))


def logout_everywhere(store: Store, actor: Actor) -> None:
    """Ends all sessions of a person."""
    with store.write() as session:
        end_sessions(session, actor.account_id)


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
        store_password(session, actor.account_id, hashed, now)


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
            sha256=digest_of(plain),
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
        found = session.execute(_BY_TOKEN, {"digest": digest_of(token)}).all()
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


def hash_password(password: str) -> str:
    """argon2id hash of a password.

    Raises:
        DataError: too short or too long.
    """
    if not SHORTEST <= len(password) <= 200:
        raise DataError("this password cannot be used", expected=f"{SHORTEST} to 200 characters")
    return _HASHER.hash(password)


def store_password(session: Session, account_id: int, hashed: str, now: datetime) -> str:
    """Sets a password, ends all sessions, and returns the pseudonym."""
    account = session.get_one(Account, account_id)
    account.password_hash, account.failed_n, account.locked_until = hashed, 0, None
    end_sessions(session, account_id)
    pseudonym = session.scalars(
        select(Annotator.id).where(Annotator.account_id == account_id)
    ).one()
    audit.record(session, now, pseudonym, "new_password", f"annotator:{pseudonym}")
    return pseudonym


def end_sessions(session: Session, account_id: int | None) -> None:
    """Ends all sessions of an account."""
    session.execute(delete(LoginSession).where(LoginSession.account_id == account_id))


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
                id_sha256=digest_of(token),
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


def _login_failed() -> LoginFailed:
    return LoginFailed(
        "login failed",
        got="a wrong login or password, or an account that is locked",
        remedy=f"check both; after {TRIES} wrong passwords an account rests for 15 minutes",
    )


def _not_logged_in() -> LoginFailed:
    return LoginFailed("you are not logged in", remedy="log in; what you typed is kept")


def digest_of(secret: str) -> str:
    """SHA-256 of a text: what is stored of long random secrets."""
    return hashlib.sha256(secret.encode()).hexdigest()
