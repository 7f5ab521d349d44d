"""Pages of leads and owners: projects, campaigns, items, people, flags, quality."""

import json
from typing import Any, cast, get_args

from fastapi import APIRouter, Request, Response

from fairlead.core.errors import ConfigError, DataError
from fairlead.feedback import accounts, campaign_items, campaigns, profiles, progress
from fairlead.feedback.campaigns import State
from fairlead.feedback.errors import Conflict, Refused
from fairlead.feedback.http.api.common import Id, Name
from fairlead.feedback.http.rendering import render
from fairlead.feedback.http.visits import Database, Form, Now, Visit, Visitor, settings_of
from fairlead.feedback.store import Store
from fairlead.feedback.web.forms import fields_of, one
from fairlead.feedback.web.shared import as_sentence, confirmed, go, notice_of, question_of
from fairlead.feedback.work import KINDS

router = APIRouter(prefix="/lead")
_ITEMS = 50
_STATES = ("open", "full", "done", "dropped")
_ROLES = ("normal", "gold", "screening")


# Projects


@router.get("")
def projects_page(request: Request, store: Database, visit: Visitor) -> Response:
    """All projects that the person leads, with their campaigns."""
    _lead(visit)
    return _projects(request, store, visit)


@router.post("/projects")
def new_project(
    request: Request, store: Database, visit: Visitor, now: Now, form: Form
) -> Response:
    """Makes a project."""
    name = one(fields_of(form.multi_items()), "name")
    try:
        campaigns.create_project(store, visit.actor, name, now=now)
    except (DataError, Conflict) as error:
        return _projects(request, store, visit, as_sentence(f"{error.what}: {error.expected}"))
    return go(request, "/lead?said=changed")


@router.post("/projects/{project}/campaigns")
def new_campaign(
    request: Request, store: Database, visit: Visitor, now: Now, form: Form, project: Id
) -> Response:
    """Makes a campaign, as a draft."""
    fields = fields_of(form.multi_items())
    try:
        more = json.loads(one(fields, "settings").strip() or "{}")
        work = {"kind": one(fields, "kind"), **more.pop("work", {})}
        settings = {"overlap": one(fields, "overlap") or 1, **more, "work": work}
        made = campaigns.create_campaign(
            store, visit.actor, project, one(fields, "name"), settings, now=now
        )
    except (ValueError, TypeError, AttributeError, ConfigError, DataError, Conflict) as error:
        return _projects(request, store, visit, _why(error))
    return go(request, f"/lead/campaigns/{made}?said=changed")


@router.post("/projects/{project}/invite")
def invite(request: Request, store: Database, visit: Visitor, now: Now, project: Id) -> Response:
    """Makes a link with which an annotator joins a project, and shows it once."""
    secret = accounts.invite(store, visit.actor, "annotator", project=project, now=now)
    return _link(
        request, secret, "Send this link to the person you invite. It works once, for 7 days."
    )


def _why(error: Exception) -> str:
    if isinstance(error, ConfigError | DataError | Conflict):
        return as_sentence(": ".join(x for x in (error.what, error.got or error.expected) if x))
    return "The settings are not a JSON object."


def _link(request: Request, secret: str, text: str) -> Response:
    origin = settings_of(request).public_origin or str(request.base_url).rstrip("/")
    return render(
        request,
        "secret.html",
        section="lead",
        heading="A link, shown once",
        text=text,
        label="Link",
        secret=f"{origin}/invite/{secret}",
        back="/lead",
    )


def _projects(request: Request, store: Store, visit: Visit, problem: str = "") -> Response:
    listed = campaigns.list_campaigns(store, visit.actor)
    rows = [
        {
            "project": project,
            "campaigns": [
                {"info": info, "progress": progress.campaign_progress(store, visit.actor, info.id)}
                for info in listed
                if info.project == project.id
            ],
        }
        for project in campaigns.list_projects(store, visit.actor)
    ]
    return render(
        request,
        "lead/projects.html",
        status_code=422 if problem else 200,
        section="lead",
        projects=rows,
        all_kinds=list(KINDS),
        problem=problem,
        notice=notice_of(request),
    )


# People


@router.get("/people")
def accounts_page(request: Request, store: Database, visit: Visitor) -> Response:
    """All accounts, for owners."""
    return render(
        request,
        "lead/accounts.html",
        section="lead",
        people=accounts.list_people(store, visit.actor),
        projects=campaigns.list_projects(store, visit.actor),
        consent=profiles.current_consent(store),
        notice=notice_of(request),
    )


@router.post("/people/invite")
def invite_anybody(
    request: Request, store: Database, visit: Visitor, now: Now, form: Form
) -> Response:
    """Makes a link for any role."""
    role = one(fields_of(form.multi_items()), "role")
    if role not in ("annotator", "lead", "owner"):
        raise DataError("no such role", expected="annotator, lead or owner")
    secret = accounts.invite(store, visit.actor, role, now=now)
    return _link(request, secret, f"Send this link to the new {role}. It works once, for 7 days.")


@router.post("/people/{person}/{what}")
def change_account(
    request: Request,
    store: Database,
    visit: Visitor,
    now: Now,
    form: Form,
    person: Name,
    what: str,
) -> Response:
    """Makes a link for a new password, or lets an account in or keeps it out."""
    if what == "password":
        secret = accounts.reset_password(store, visit.actor, person, now=now)
        return _link(
            request, secret, "With this link the person sets a new password. It works for a day."
        )
    if what == "join":
        project = one(fields_of(form.multi_items()), "project")
        number = int(project) if project.isdecimal() and len(project) < 16 else 0
        accounts.add_member(store, visit.actor, number, person, now=now)
        return go(request, "/lead/people?said=changed")
    if what not in ("enable", "disable"):
        raise DataError("no such action", expected="password, join, enable or disable")
    if what == "disable":
        asked = confirmed(
            request,
            form,
            heading="Keep this account out?",
            lines=("The person is logged out everywhere at once. Their answers stay.",),
            button="Keep the account out",
            back="/lead/people",
        )
        if asked is not None:
            return asked
    state = "active" if what == "enable" else "disabled"
    accounts.set_account_state(store, visit.actor, person, state, now=now)
    return go(request, "/lead/people?said=changed")


@router.post("/consent")
def new_consent(
    request: Request, store: Database, visit: Visitor, now: Now, form: Form
) -> Response:
    """Stores a new version of the consent text; everybody is asked again."""
    text = one(fields_of(form.multi_items()), "text")
    if not text.strip():
        raise DataError("the text is empty", remedy="write what happens with people's answers")
    asked = confirmed(
        request,
        form,
        heading="Ask everybody again?",
        lines=("Nobody is given work before they agree to the new text.",),
        button="Publish the text",
        back="/lead/people",
    )
    if asked is not None:
        return asked
    profiles.add_consent(store, visit.actor, text, now=now)
    return go(request, "/lead/people?said=changed")


# One campaign


@router.get("/campaigns/{campaign}")
def campaign_page(request: Request, store: Database, visit: Visitor, campaign: Id) -> Response:
    """A campaign with its progress, settings and guidelines."""
    values = _campaign(request, store, visit, campaign, "campaign")
    info = values["info"]
    settings = info.settings.model_dump(mode="json", exclude_defaults=True)
    return render(
        request,
        "lead/campaign.html",
        **values,
        guidelines=campaigns.list_guidelines(store, visit.actor, campaign),
        settings=json.dumps(settings, indent=2, ensure_ascii=False),
        question=question_of(info.settings.work),
        states=[state for state in get_args(State) if state != info.state],
    )


@router.post("/campaigns/{campaign}/state")
def change_state(
    request: Request, store: Database, visit: Visitor, now: Now, form: Form, campaign: Id
) -> Response:
    """Opens, pauses or closes a campaign."""
    state = one(fields_of(form.multi_items()), "state")
    if state not in get_args(State):
        raise DataError("no such state", expected=", ".join(get_args(State)))
    if state in ("closed", "draft"):
        asked = confirmed(
            request,
            form,
            heading=f"Set this campaign to {state}?",
            lines=(
                "Nobody is given work from it any more, and answers can no longer be undone."
                if state == "closed"
                else "Annotators no longer see it.",
                "It can be opened again.",
            ),
            button=f"Yes, set it to {state}",
            back=f"/lead/campaigns/{campaign}",
        )
        if asked is not None:
            return asked
    campaigns.set_campaign_state(store, visit.actor, campaign, cast(State, state), now=now)
    return go(request, f"/lead/campaigns/{campaign}?said=changed")


@router.post("/campaigns/{campaign}/guideline")
def new_guideline(
    request: Request, store: Database, visit: Visitor, now: Now, form: Form, campaign: Id
) -> Response:
    """Stores a new version of the guidelines."""
    text = one(fields_of(form.multi_items()), "text")
    if not text.strip():
        raise DataError("the guidelines are empty", remedy="write them, or keep the old version")
    campaigns.add_guideline(store, visit.actor, campaign, text, now=now)
    return go(request, f"/lead/campaigns/{campaign}?said=changed")


@router.get("/campaigns/{campaign}/items")
def items_page(
    request: Request,
    store: Database,
    visit: Visitor,
    campaign: Id,
    state: str = "",
    role: str = "",
    after: int = 0,
) -> Response:
    """The items, a page at a time."""
    state, role = state if state in _STATES else "", role if role in _ROLES else ""
    rows = campaign_items.list_items(
        store,
        visit.actor,
        campaign,
        state=state or None,
        role=role or None,  # pyright: ignore[reportArgumentType]
        after=max(0, min(after, 2**53)),
        limit=_ITEMS + 1,
    )
    return render(
        request,
        "lead/items.html",
        **_campaign(request, store, visit, campaign, "items"),
        items=rows[:_ITEMS],
        more=rows[_ITEMS - 1].id if len(rows) > _ITEMS else None,
        state=state,
        role=role,
        item_states=_STATES,
        item_roles=_ROLES,
    )


@router.post("/campaigns/{campaign}/items/{item}/reopen")
def reopen(
    request: Request, store: Database, visit: Visitor, now: Now, campaign: Id, item: Id
) -> Response:
    """Hands an item out again that too many had skipped."""
    campaign_items.reopen_item(store, visit.actor, item, now=now)
    return go(request, f"/lead/campaigns/{campaign}/items?state=open&said=changed")


@router.get("/campaigns/{campaign}/people")
def people_page(request: Request, store: Database, visit: Visitor, campaign: Id) -> Response:
    """How far each person is, by their random name."""
    return render(
        request,
        "lead/people.html",
        **_campaign(request, store, visit, campaign, "people"),
        people=progress.people_progress(store, visit.actor, campaign),
    )


@router.post("/campaigns/{campaign}/people/{person}")
def change_person(
    request: Request,
    store: Database,
    visit: Visitor,
    now: Now,
    form: Form,
    campaign: Id,
    person: Name,
) -> Response:
    """Pauses a person in a campaign, or lets them go on."""
    fields = fields_of(form.multi_items())
    pause = one(fields, "state") == "paused"
    if pause:
        asked = confirmed(
            request,
            form,
            heading="Pause this person?",
            lines=("They are given no more work in this campaign. Their answers stay.",),
            button="Pause",
            back=f"/lead/campaigns/{campaign}/people",
        )
        if asked is not None:
            return asked
    why = one(fields, "why")[:500]
    state = "paused" if pause else "active"
    campaigns.set_participation(store, visit.actor, campaign, person, state, why=why, now=now)
    return go(request, f"/lead/campaigns/{campaign}/people?said=changed")


@router.get("/campaigns/{campaign}/flags")
def flags_page(
    request: Request, store: Database, visit: Visitor, campaign: Id, all: str = ""
) -> Response:
    """What people flagged."""
    return render(
        request,
        "lead/flags.html",
        **_campaign(request, store, visit, campaign, "flags"),
        flags=campaign_items.list_flags(store, visit.actor, campaign, open_only=all != "yes"),
        all=all == "yes",
    )


@router.post("/campaigns/{campaign}/flags/{flag}")
def resolve(
    request: Request, store: Database, visit: Visitor, now: Now, campaign: Id, flag: Id
) -> Response:
    """Marks a flag as dealt with."""
    campaign_items.resolve_flag(store, visit.actor, flag, now=now)
    return go(request, f"/lead/campaigns/{campaign}/flags?said=changed")


@router.get("/campaigns/{campaign}/quality")
def quality_page(request: Request, store: Database, visit: Visitor, campaign: Id) -> Response:
    """Agreement, biases, gold and findings about people, each with its interval."""
    # Statistics load scipy, which a server that only hands out work does not need.
    from fairlead.feedback.statistics import campaign_quality

    values = _campaign(request, store, visit, campaign, "quality")
    found = campaign_quality(store, visit.actor, campaign)
    return render(request, "lead/quality.html", **values, found=found)


# Parts


def _lead(visit: Visit) -> None:
    if visit.actor.role == "annotator":
        raise Refused("not allowed", expected="a lead or an owner", got="an annotator")


def _campaign(
    request: Request, store: Store, visit: Visit, campaign: int, tab: str
) -> dict[str, Any]:
    """What all pages of one campaign show."""
    return {
        "progress": progress.campaign_progress(store, visit.actor, campaign),
        "info": campaigns.get_campaign(store, visit.actor, campaign),
        "tab": tab,
        "section": "lead",
        "notice": notice_of(request),
    }
