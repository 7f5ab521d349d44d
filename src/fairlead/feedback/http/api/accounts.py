"""People: oneself, one's tokens, and for owners everybody else."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import Request, Response
from pydantic import Field

from fairlead.feedback import accounts, audit, logins, profiles
from fairlead.feedback.accounts import Person as Account
from fairlead.feedback.audit import Verdict
from fairlead.feedback.http.api.common import BIG, Id, Name, part
from fairlead.feedback.http.visits import (
    Database,
    Now,
    Person,
    Visitor,
    clear_cookie,
    need_scope,
    person_of,
    settings_of,
    slow_logins,
)
from fairlead.feedback.logins import TokenInfo
from fairlead.feedback.permissions import Role, Scope, Thing, require
from fairlead.feedback.profiles import Profile
from fairlead.records import Record

router = part("people")


class ProfileChange(Record):
    """What to change; what is left out stays."""

    groups: dict[str, str] | None = None
    content_opt_out: bool | None = None


class ConsentText(Record):
    """What people agree to before they work."""

    version: int
    text: str


class NewConsent(Record):
    """A new version of the text; everybody is asked again."""

    text: Annotated[str, Field(min_length=1, max_length=100_000)]


class Agreed(Record):
    """The version that somebody agrees to."""

    version: Annotated[int, Field(ge=1, le=BIG)]


class PasswordChange(Record):
    """The old password and the new one."""

    old: Annotated[str, Field(max_length=1000)]
    new: Annotated[str, Field(max_length=1000)]


class NewToken(Record):
    """A key for a program."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: frozenset[Scope]
    days: Annotated[int, Field(ge=1, le=3650)] = 90


class Token(Record):
    """Shown once; the server keeps its hash only."""

    token: str


class NewInvitation(Record):
    """Who is invited."""

    role: Role = "annotator"
    project: Annotated[int | None, Field(ge=1, le=BIG)] = None
    days: Annotated[int, Field(ge=1, le=90)] = 7


class Link(Record):
    """An address that works once."""

    link: str


class Forgetting(Record):
    """Whether free text that you wrote beside answers goes, too."""

    texts: bool = False


class Erased(Record):
    """What was erased."""

    counts: dict[str, int]
    """Rows by what they are."""
    exports: int
    """Copies outside of this server that hold your answers until they are made anew; whoever runs
    it has a list of them."""


class AccountState(Record):
    """Whether somebody may log in."""

    state: Literal["active", "disabled"]


# Oneself


@router.get("/me")
def profile(store: Database, visit: Visitor) -> Profile:
    """What is known about you."""
    need_scope(visit, "label", "read")
    return profiles.profile(store, visit.actor)


@router.patch("/me", status_code=204)
def set_profile(store: Database, visit: Person, now: Now, body: ProfileChange) -> None:
    """Say which groups you belong to, or that you do not want to see what may distress."""
    profiles.set_profile(
        store, visit.actor, groups=body.groups, content_opt_out=body.content_opt_out, now=now
    )


@router.post("/me/password", status_code=204)
def change_password(
    request: Request,
    response: Response,
    store: Database,
    visit: Person,
    now: Now,
    body: PasswordChange,
) -> None:
    """Set a new password; ends all your sessions, this one too."""
    slow_logins(request)
    logins.change_password(store, visit.actor, body.old, body.new, now=now)
    clear_cookie(request, response)


@router.post("/me/logout-everywhere", status_code=204)
def logout_everywhere(request: Request, response: Response, store: Database, visit: Person) -> None:
    """End all your sessions."""
    logins.logout_everywhere(store, visit.actor)
    clear_cookie(request, response)


@router.get("/consent")
def consent(store: Database, visit: Visitor) -> ConsentText | None:
    """What you are asked to agree to; null if there is no such text."""
    found = profiles.current_consent(store)
    return None if found is None else ConsentText(version=found[0], text=found[1])


@router.post("/consent", status_code=201)
def add_consent(store: Database, visit: Visitor, now: Now, body: NewConsent) -> ConsentText:
    """Store a new version of the text; owners only."""
    version = profiles.add_consent(store, visit.actor, body.text, now=now)
    return ConsentText(version=version, text=body.text)


@router.put("/me/consent", status_code=204)
def give_consent(store: Database, visit: Visitor, now: Now, body: Agreed) -> None:
    """Agree to the current version."""
    need_scope(visit, "label")
    profiles.give_consent(store, visit.actor, body.version, now=now)


@router.post("/me/withdraw")
def withdraw(store: Database, visit: Person, now: Now) -> Erased:
    """Take all your work out, for good: answers and their history, drafts, flags, notes."""
    from fairlead.feedback.privacy.erase import withdraw_work

    found = withdraw_work(store, visit.actor, now=now)
    return Erased(counts=found.counts, exports=len(found.exports))


@router.post("/me/forget")
def forget(
    request: Request,
    response: Response,
    store: Database,
    visit: Person,
    now: Now,
    body: Forgetting,
) -> Erased:
    """Erase who you are, for good; your answers stay under a name that leads to nobody."""
    from fairlead.feedback.privacy.erase import forget_me

    found = forget_me(store, visit.actor, texts=body.texts, now=now)
    clear_cookie(request, response)
    return Erased(counts=found.counts, exports=len(found.exports))


# Tokens


@router.get("/me/tokens")
def list_tokens(store: Database, visit: Person) -> list[TokenInfo]:
    """Your tokens, without their secrets."""
    return logins.list_tokens(store, visit.actor)


@router.post("/me/tokens", status_code=201)
def create_token(store: Database, visit: Person, now: Now, body: NewToken) -> Token:
    """Make a key for a program. It is shown now and never again."""
    plain = logins.create_token(
        store, visit.actor, body.name, body.scopes, valid=timedelta(days=body.days), now=now
    )
    return Token(token=plain)


@router.delete("/me/tokens/{token}", status_code=204)
def revoke_token(store: Database, visit: Person, now: Now, token: Id) -> None:
    """End one of your tokens."""
    logins.revoke_token(store, visit.actor, token, now=now)


# Others


@router.post("/invitations", status_code=201)
def invite(
    request: Request, store: Database, visit: Visitor, now: Now, body: NewInvitation
) -> Link:
    """Make a link with which one person makes an account; a token invites annotators only."""
    if body.role != "annotator":
        person_of(visit)
    valid = timedelta(days=body.days)
    secret = accounts.invite(
        store, visit.actor, body.role, project=body.project, valid=valid, now=now
    )
    return Link(link=invitation_link(request, secret))


@router.get("/people")
def list_people(store: Database, visit: Visitor) -> list[Account]:
    """All accounts with their logins; owners only, and tokens for identity."""
    return accounts.list_people(store, visit.actor)


@router.put("/people/{person}/state", status_code=204)
def set_account_state(
    store: Database, visit: Visitor, now: Now, person: Name, body: AccountState
) -> None:
    """Let somebody in, or keep them out and log them out everywhere; owners only."""
    accounts.set_account_state(store, visit.actor, person, body.state, now=now)


@router.post("/people/{person}/reset-password", status_code=201)
def reset_password(
    request: Request, store: Database, visit: Person, now: Now, person: Name
) -> Link:
    """Make a link with which somebody sets a new password; owners only."""
    secret = accounts.reset_password(store, visit.actor, person, now=now)
    return Link(link=invitation_link(request, secret))


@router.get("/audit")
def verify_audit(store: Database, visit: Visitor) -> Verdict:
    """Whether the record of who did what is whole; owners only."""
    require(visit.actor, "administer", Thing())
    return audit.verify_audit(store)


def invitation_link(request: Request, secret: str) -> str:
    """The address of an invitation, as the person who gets it can open it."""
    origin = settings_of(request).public_origin or f"http://{request.headers['host']}"
    return f"{origin}/invite/{secret}"
