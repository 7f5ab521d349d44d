"""Coming in and going out, and what people decide about themselves."""

from fastapi import APIRouter, Request, Response

from fairlead.core.errors import DataError
from fairlead.feedback import accounts, assignment, campaigns, logins, profiles, progress
from fairlead.feedback.errors import Conflict, LoginFailed
from fairlead.feedback.http.rendering import render
from fairlead.feedback.http.visits import (
    Database,
    Form,
    MaybeVisitor,
    Now,
    Person,
    Visitor,
    clear_cookie,
    local_target,
    log_in,
    set_cookie,
    slow_logins,
)
from fairlead.feedback.web.forms import fields_of, one
from fairlead.feedback.web.shared import as_sentence, go, notice_of

router = APIRouter()
_KEPT = "kept:"


@router.get("/")
def home(request: Request, store: Database, visit: Visitor) -> Response:
    """A person's campaigns and how far they are."""
    rows = [
        {"info": info, "progress": progress.own_progress(store, visit.actor, info.id)}
        for info in campaigns.list_campaigns(store, visit.actor)
        if info.state in ("open", "paused")
    ]
    return render(request, "home.html", section="home", campaigns=rows, notice=notice_of(request))


# Logging in and out


@router.get("/login")
def login_page(request: Request, visit: MaybeVisitor, next: str = "/") -> Response:
    """Asks who it is; whoever is logged in goes on."""
    if visit is not None:
        return go(request, local_target(next))
    return render(
        request, "login.html", next=local_target(next), failed=None, notice=notice_of(request)
    )


@router.post("/login")
def login(request: Request, form: Form) -> Response:
    """Opens a session."""
    fields = fields_of(form.multi_items())
    target = local_target(one(fields, "next"))
    try:
        found = log_in(request, one(fields, "login"), one(fields, "password"))
    except LoginFailed as failed:
        name = one(fields, "login")
        return render(
            request, "login.html", status_code=401, next=target, failed=failed, login=name
        )
    response = go(request, target)
    set_cookie(request, response, found.token)
    return response


@router.post("/login/again")
def login_again(request: Request, form: Form) -> Response:
    """Opens a new session and hands back what a form held when the old one had ended."""
    sent = fields_of(form.multi_items())
    fields = {k.removeprefix(_KEPT): v for k, v in sent.items() if k.startswith(_KEPT)}
    action = local_target(one(sent, "action"))
    try:
        found = log_in(request, one(sent, "login"), one(sent, "password"))
    except LoginFailed as failed:
        return render(
            request, "kept.html", status_code=401, action=action, fields=fields, failed=failed
        )
    response = render(request, "resume.html", action=action, fields=fields)
    set_cookie(request, response, found.token)
    return response


@router.post("/logout")
def logout(request: Request, store: Database, visit: Visitor, now: Now) -> Response:
    """Ends the session and gives back what the person holds."""
    assignment.release_all(store, visit.actor, now=now)
    logins.logout(store, visit.session)
    response = go(request, "/login")
    clear_cookie(request, response)
    return response


# Invitations


@router.get("/invite/{secret}")
def invitation_page(request: Request, store: Database, now: Now, secret: str) -> Response:
    """Asks for a login and a password."""
    role = accounts.invitation_role(store, secret, now=now)
    return _invitation(request, role, secret)


@router.post("/invite/{secret}")
def accept(request: Request, store: Database, now: Now, form: Form, secret: str) -> Response:
    """Makes the account, or sets the new password, and logs in."""
    slow_logins(request)
    fields = fields_of(form.multi_items())
    role = accounts.invitation_role(store, secret, now=now)
    name, password = one(fields, "login"), one(fields, "password")
    if password != one(fields, "again"):
        return _invitation(request, role, secret, name, "The two passwords differ.")
    try:
        accounts.accept_invitation(store, secret, name, password, now=now)
    except (DataError, Conflict) as error:
        return _invitation(request, role, secret, name, _said(error))
    return go(request, "/login?said=" + ("password" if role == "reset" else "welcome"))


def _invitation(
    request: Request, role: str, secret: str, login: str = "", problem: str = ""
) -> Response:
    return render(
        request,
        "invitation.html",
        status_code=422 if problem else 200,
        role=role,
        secret=secret,
        login=login,
        problem=problem,
        shortest=logins.SHORTEST,
    )


def _said(error: DataError | Conflict) -> str:
    expected = f": {error.expected}" if error.expected else ""
    return as_sentence(error.what + expected)


# Consent


@router.get("/consent")
def consent_page(request: Request, store: Database, visit: Visitor, next: str = "/") -> Response:
    """What people agree to."""
    version, text = profiles.current_consent(store) or (None, None)
    given = profiles.profile(store, visit.actor).consent_version
    return render(
        request,
        "consent.html",
        version=version,
        text=text,
        given=given,
        next=local_target(next),
        notice=notice_of(request),
    )


@router.post("/consent")
def agree(request: Request, store: Database, visit: Person, now: Now, form: Form) -> Response:
    """Records that a person agrees to the version they read."""
    fields = fields_of(form.multi_items())
    version = one(fields, "version")
    profiles.give_consent(store, visit.actor, int(version) if version.isdecimal() else 0, now=now)
    target = local_target(one(fields, "next"))
    return go(request, target + ("&" if "?" in target else "?") + "said=agreed")
