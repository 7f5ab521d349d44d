"""A person's own page: consent, groups, password, keys for programs, and ways out."""

from fastapi import APIRouter, Request, Response

from fairlead.core.errors import DataError
from fairlead.feedback import assignment, logins, profiles
from fairlead.feedback.errors import LoginFailed
from fairlead.feedback.http.api.common import Id
from fairlead.feedback.http.rendering import render
from fairlead.feedback.http.visits import (
    Database,
    Form,
    Now,
    Person,
    Visit,
    clear_cookie,
    slow_logins,
)
from fairlead.feedback.store import Store
from fairlead.feedback.web.forms import fields_of, one
from fairlead.feedback.web.shared import as_sentence, confirmed, go, notice_of

router = APIRouter(prefix="/profile")

SCOPES = {
    "label": "answer tasks",
    "read": "read campaigns and progress",
    "manage": "change campaigns and items",
    "export": "export answers",
    "identity": "see who people are",
}


@router.get("")
def page(request: Request, store: Database, visit: Person) -> Response:
    """What is known about the person, and what they can change."""
    return _page(request, store, visit)


@router.post("/groups")
def groups(request: Request, store: Database, visit: Person, now: Now, form: Form) -> Response:
    """Keeps what a person says about themselves."""
    lines = one(fields_of(form.multi_items()), "groups").splitlines()
    pairs = [line.partition(":") for line in lines if line.strip()]
    if any(not name.strip() or not value.strip() for name, _, value in pairs):
        return _page(request, store, visit, "Write one group per line, as in `country: Chile`.")
    found = {name.strip(): value.strip() for name, _, value in pairs}
    profiles.set_profile(store, visit.actor, groups=found, now=now)
    return go(request, "/profile?said=changed")


@router.post("/content")
def content(request: Request, store: Database, visit: Person, now: Now, form: Form) -> Response:
    """Whether the person wants work that comes with a content warning."""
    out = one(fields_of(form.multi_items()), "opt_out") == "yes"
    profiles.set_profile(store, visit.actor, content_opt_out=out, now=now)
    return go(request, "/profile?said=changed")


@router.post("/password")
def password(request: Request, store: Database, visit: Person, now: Now, form: Form) -> Response:
    """Sets a new password; all sessions end."""
    fields = fields_of(form.multi_items())
    if one(fields, "new") != one(fields, "again"):
        return _page(request, store, visit, "The two new passwords differ.")
    slow_logins(request)
    try:
        logins.change_password(store, visit.actor, one(fields, "old"), one(fields, "new"), now=now)
    except LoginFailed:
        return _page(request, store, visit, "The old password is wrong.")
    except DataError as error:
        return _page(request, store, visit, as_sentence(f"{error.what}: {error.expected}"))
    return _left(request, "password")


@router.post("/logout-everywhere")
def logout_everywhere(request: Request, store: Database, visit: Person, now: Now) -> Response:
    """Ends all sessions of the person."""
    assignment.release_all(store, visit.actor, now=now)
    logins.logout_everywhere(store, visit.actor)
    return _left(request, "everywhere")


@router.post("/keys")
def make_key(request: Request, store: Database, visit: Person, now: Now, form: Form) -> Response:
    """Makes a key for a program and shows it, once."""
    fields = fields_of(form.multi_items())
    scopes = frozenset(scope for scope in fields.get("scopes", ()) if scope in SCOPES)
    if not scopes:
        return _page(request, store, visit, "Choose what the key is for.")
    name = one(fields, "name").strip() or "a program"
    plain = logins.create_token(store, visit.actor, name, scopes, now=now)  # pyright: ignore
    return render(
        request,
        "secret.html",
        section="profile",
        heading="Your new key",
        text="Copy it now; it cannot be shown again. It ends in 90 days.",
        secret=plain,
        back="/profile",
    )


@router.post("/keys/{key}/revoke")
def revoke(
    request: Request, store: Database, visit: Person, now: Now, form: Form, key: Id
) -> Response:
    """Ends a key."""
    asked = confirmed(
        request,
        form,
        heading="Revoke this key?",
        lines=("Programs that use it stop working at once.",),
        button="Revoke the key",
        back="/profile",
    )
    if asked is not None:
        return asked
    logins.revoke_token(store, visit.actor, key, now=now)
    return go(request, "/profile?said=changed")


# Ways out


@router.post("/withdraw")
def withdraw(request: Request, store: Database, visit: Person, now: Now, form: Form) -> Response:
    """Takes back all that the person answered."""
    asked = confirmed(
        request,
        form,
        heading="Withdraw all your work?",
        lines=("This cannot be undone. Your account stays.",),
        points=(
            "All your answers are erased, with their history, reasons and drafts.",
            "Your flags and notes are erased.",
            "Data sets that hold your answers are marked as outdated, and listed to you.",
        ),
        button="Withdraw my work",
        back="/profile",
    )
    if asked is not None:
        return asked
    # Erasure reads run folders, which a server that only hands out work does not need.
    from fairlead.feedback.privacy.erase import withdraw_work

    found = withdraw_work(store, visit.actor, now=now)
    return render(request, "erased.html", section="profile", found=found)


@router.post("/forget")
def forget(request: Request, store: Database, visit: Person, now: Now, form: Form) -> Response:
    """Cuts the person off from their answers, and deletes the account."""
    asked = confirmed(
        request,
        form,
        heading="Delete your account?",
        lines=("This cannot be undone. To take your answers back as well, withdraw them first.",),
        points=(
            "Your login, password, sessions, keys, groups and drafts are erased.",
            "Your answers stay, under a name that leads to nobody.",
        ),
        button="Forget me",
        back="/profile",
        choice=("texts", "Also erase the reasons and notes that I wrote beside my answers"),
    )
    if asked is not None:
        return asked
    from fairlead.feedback.privacy.erase import forget_me

    texts = one(fields_of(form.multi_items()), "texts") == "yes"
    found = forget_me(store, visit.actor, texts=texts, now=now)
    request.state.visit = None  # The person who asked is no longer known.
    response = render(request, "erased.html", section="", found=found)
    clear_cookie(request, response)
    return response


def _page(request: Request, store: Store, visit: Visit, problem: str = "") -> Response:
    return render(
        request,
        "profile.html",
        status_code=422 if problem else 200,
        section="profile",
        profile=profiles.profile(store, visit.actor),
        consent=profiles.current_consent(store),
        keys=logins.list_tokens(store, visit.actor),
        scopes=SCOPES,
        shortest=logins.SHORTEST,
        problem=problem,
        notice=notice_of(request),
    )


def _left(request: Request, said: str) -> Response:
    response = go(request, f"/login?said={said}")
    clear_cookie(request, response)
    return response
