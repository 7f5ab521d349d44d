"""Who comes in: a person with a session's cookie, or a program with a token."""

from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import compare_digest
from typing import Annotated

from fastapi import Depends, Request, Response
from starlette.datastructures import FormData, UploadFile

from fairlead.core.errors import DataError
from fairlead.feedback import logins
from fairlead.feedback.errors import LoginFailed, Refused
from fairlead.feedback.http.gate import SAFE, address_of
from fairlead.feedback.http.limits import Limit, neighbourhood
from fairlead.feedback.http.settings import ServerSettings
from fairlead.feedback.logins import LoggedIn
from fairlead.feedback.permissions import Actor, Scope
from fairlead.feedback.store import Store
from fairlead.feedback.work import unstorable


@dataclass(frozen=True)
class Visit:
    """Somebody who is known."""

    actor: Actor
    csrf: str = ""
    """Goes into every form, and into the header `X-CSRF-Token`; empty for tokens."""
    session: str = ""
    """Value of the cookie; empty for tokens."""


# What an application carries


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


async def store_of(request: Request) -> Store:
    """The database."""
    return request.app.state.store


async def now_of(request: Request) -> datetime:
    """The time of the request."""
    return request.app.state.clock()


def settings_of(request: Request) -> ServerSettings:
    """The server's settings."""
    return request.app.state.settings


Database = Annotated[Store, Depends(store_of)]
Now = Annotated[datetime, Depends(now_of)]


# Forms and CSRF


async def form_of(request: Request) -> FormData:
    """The fields of a form; empty for anything else.

    Raises:
        DataError: a field with a character that cannot be stored, or a file.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return FormData()
    form = await request.form(max_files=0)
    for name, text in form.multi_items():
        if isinstance(text, UploadFile) or unstorable(name) or unstorable(text):
            raise DataError(
                "a field cannot be stored",
                where=name[:100].replace("\x00", "?"),
                got="a character that no database keeps",
                remedy="remove it and send the form again",
            )
    return form


Form = Annotated[FormData, Depends(form_of)]


async def _sent_csrf(request: Request, form: Form) -> str:
    sent = request.headers.get("x-csrf-token", "") or form.get("csrf", "")
    return sent if isinstance(sent, str) else ""


# Who it is


def visit_of(
    request: Request, store: Database, now: Now, sent: Annotated[str, Depends(_sent_csrf)]
) -> Visit:
    """Who asks. A request that changes something needs the session's CSRF token, or an API token.

    Raises:
        LoginFailed: nobody is logged in.
        Refused: the CSRF token is missing or wrong.
        TooMany: this person asks too often.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "bearer":
            raise LoginFailed(
                "this way of logging in is not offered",
                where="Authorization",
                expected="Bearer and an API token",
                got=scheme[:20],
            )
        visit = Visit(logins.token_actor(store, token.strip(), now=now))
    else:
        cookie = request.cookies.get(cookie_name(settings_of(request)), "")
        found = logins.session_actor(store, cookie, now=now)
        visit = Visit(found.actor, found.csrf, cookie)
        if request.method not in SAFE and not compare_digest(sent.encode(), found.csrf.encode()):
            raise _wrong_csrf()
    limits: Limits = request.app.state.limits
    limits.people.take(visit.actor.pseudonym)
    request.state.visit = visit
    return visit


Visitor = Annotated[Visit, Depends(visit_of)]


def maybe_visit_of(
    request: Request, store: Database, now: Now, sent: Annotated[str, Depends(_sent_csrf)]
) -> Visit | None:
    """Who asks, or None for a stranger; for pages that strangers may see."""
    try:
        return visit_of(request, store, now, sent)
    except LoginFailed:
        return None


MaybeVisitor = Annotated[Visit | None, Depends(maybe_visit_of)]


def person_of(visit: Visitor) -> Visit:
    """Who asks, if it is a person: a program's token may not change an account.

    Raises:
        Refused: it is a program.
    """
    if visit.actor.scopes is not None:
        raise Refused("a token cannot do this", remedy="log in and do it on the page")
    return visit


Person = Annotated[Visit, Depends(person_of)]


def need_scope(visit: Visit, *scopes: Scope) -> None:
    """Stops a token that is for none of these.

    Raises:
        Refused: it is for something else.
    """
    held = visit.actor.scopes
    if held is not None and held.isdisjoint(scopes):
        raise Refused(
            "this token is for something else",
            expected=" or ".join(scopes),
            got=", ".join(sorted(held)),
            remedy="make a token with this scope",
        )


def _wrong_csrf() -> Refused:
    return Refused(
        "this form is no longer valid",
        where="csrf",
        expected="the token of the session (field csrf or header X-CSRF-Token)",
        remedy="load the page again and send it once more; you may have logged in again meanwhile",
    )


# Logging in and out


@dataclass(frozen=True)
class Limits:
    """The limits that are counted behind the gate."""

    people: Limit
    logins: Limit


def slow_logins(request: Request) -> None:
    """Counts an attempt to log in, or to use an invitation.

    Raises:
        TooMany: this address tries too often.
    """
    limits: Limits = request.app.state.limits
    limits.logins.take(neighbourhood(address_of(request)))


def log_in(request: Request, name: str, password: str) -> LoggedIn:
    """Opens a session and ends the one that the browser had before.

    Raises:
        LoginFailed: with one wording for every cause.
        TooMany: this address tries too often.
    """
    slow_logins(request)
    store: Store = request.app.state.store
    found = logins.login(store, name, password, now=request.app.state.clock())
    old = request.cookies.get(cookie_name(settings_of(request)), "")
    if old:
        logins.logout(store, old)
    request.state.visit = Visit(found.actor, found.csrf, found.token)
    return found


def set_cookie(request: Request, response: Response, token: str) -> None:
    """Gives the browser its session: out of reach of scripts, and of other sites' requests."""
    settings = settings_of(request)
    response.set_cookie(
        cookie_name(settings),
        token,
        max_age=int(logins.SESSION.total_seconds()),
        secure=settings.https,
        httponly=True,
        samesite="lax",
    )


def clear_cookie(request: Request, response: Response) -> None:
    """Takes the session from the browser."""
    settings = settings_of(request)
    response.delete_cookie(
        cookie_name(settings), secure=settings.https, httponly=True, samesite="lax"
    )


def cookie_name(settings: ServerSettings) -> str:
    """With https a name that browsers take from this host only, and never over http."""
    return "__Host-fairlead" if settings.https else "fairlead"


def local_target(text: str) -> str:
    """Where to go after the login: a path of this server, or its first page."""
    plain = text.startswith("/") and not text.startswith("//") and "\\" not in text
    return text if plain and text.isprintable() else "/"
