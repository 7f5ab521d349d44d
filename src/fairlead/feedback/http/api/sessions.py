"""Logging in and out with a cookie."""

from typing import Annotated

from fastapi import Request, Response
from pydantic import Field

from fairlead.feedback import accounts, assignment, logins
from fairlead.feedback.http.api.common import part
from fairlead.feedback.http.visits import (
    Database,
    Now,
    Person,
    Visitor,
    clear_cookie,
    log_in,
    set_cookie,
    slow_logins,
)
from fairlead.records import Record

router = part("session")


class Login(Record):
    """Who logs in."""

    login: Annotated[str, Field(max_length=100)]
    password: Annotated[str, Field(max_length=1000)]


class SessionInfo(Record):
    """Who is logged in."""

    pseudonym: str
    role: str
    csrf: str
    """Goes into the header `X-CSRF-Token` of every request that changes something."""


@router.get("/session")
def who(visit: Visitor) -> SessionInfo:
    """Who you are. Programs with a token have no CSRF token and need none."""
    return SessionInfo(pseudonym=visit.actor.pseudonym, role=visit.actor.role, csrf=visit.csrf)


@router.post("/session")
def log_in_here(request: Request, response: Response, body: Login) -> SessionInfo:
    """Log in with a cookie. The session that the browser had before ends."""
    found = log_in(request, body.login, body.password)
    set_cookie(request, response, found.token)
    return SessionInfo(pseudonym=found.actor.pseudonym, role=found.actor.role, csrf=found.csrf)


class Acceptance(Record):
    """An invitation's secret (the last part of its link), and how the person will log in."""

    secret: Annotated[str, Field(max_length=100)]
    login: Annotated[str, Field(max_length=100)] = ""
    """Not needed for a new password."""
    password: Annotated[str, Field(max_length=1000)]


class Joined(Record):
    """The name under which a person's answers are kept."""

    pseudonym: str


@router.post("/invitations/accept", status_code=201)
def accept_invitation(request: Request, store: Database, now: Now, body: Acceptance) -> Joined:
    """Make an account from an invitation, or set a new password with such a link."""
    slow_logins(request)
    made = accounts.accept_invitation(store, body.secret, body.login, body.password, now=now)
    return Joined(pseudonym=made)


@router.delete("/session", status_code=204)
def log_out(request: Request, response: Response, store: Database, visit: Person, now: Now) -> None:
    """Log out, and give back what you hold."""
    assignment.release_all(store, visit.actor, now=now)
    logins.logout(store, visit.session)
    clear_cookie(request, response)
