"""Doing the work: claim, answer, draft, skip, flag, undo.

Every form holds the whole page's fields, so whichever button sends it, nothing that was typed is
lost. With `Accept: application/json` the same addresses answer the page's own module.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from fairlead.feedback import answers, assignment, campaigns, progress
from fairlead.feedback.assignment import FLAG_REASONS, SKIP_REASONS, Nothing
from fairlead.feedback.errors import Conflict, InvalidAnswer
from fairlead.feedback.http.api.common import Id
from fairlead.feedback.http.problems import wants_json
from fairlead.feedback.http.rendering import below_root, render, ui_version
from fairlead.feedback.http.visits import Database, Form, Now, Visit, Visitor
from fairlead.feedback.permissions import Actor
from fairlead.feedback.shown_tasks import Task
from fairlead.feedback.store import Store
from fairlead.feedback.web import forms
from fairlead.feedback.web.forms import LETTERS, Fields, Filled, one
from fairlead.feedback.web.shared import go, notice_of, question_of
from fairlead.feedback.work import Kind, RedTeam, Subject, Value
from fairlead.records import Message

router = APIRouter()

Replier = Callable[[Sequence[Message]], str]
"""Answers a conversation; the application may carry one as `state.replier` for red teams."""

_NOTHING = {
    "empty": ("Nothing to do", "Everything in this campaign is done, or others work on it."),
    "not_open": ("Not open", "This campaign gives out no work at the moment."),
    "waiting": ("Please wait", "Your first answers are being looked at; a lead will decide."),
    "consent": ("Please agree first", "There is a text on what happens with your answers."),
    "opted_out": ("Not for you", "You chose not to see content that may distress."),
}
_COMMON_KEYS = [("?", "show or hide this list"), ("g", "guidelines")]
_KEYS = {
    "pairwise": [("1, 2, 3 …", "choose, from left to right")],
    "ranking": [
        ("1, 2, 3 …", "go to reply A, B, C …"),
        ("r", "rank it next"),
        ("k / j", "move it up / down"),
        ("e", "equal to the one above"),
        ("x", "unrank it"),
    ],
    "likert": [("1, 2, 3 …", "choose a level")],
    "ratings": [("1, 2, 3 …", "choose a level of the current scale"), ("n / p", "next, previous")],
    "binary": [("1 / 2", "choose")],
    "steps": [
        ("1 / 2 / 3", "right, neutral, wrong"),
        ("u", "unsure"),
        ("n / p", "next, previous step"),
    ],
    "demonstration": [],
    "critique": [("1, 2, 3 …", "choose a principle")],
    "redteam": [("1, 2, 3 …", "how far it went")],
}


# Getting work


@router.get("/campaigns/{campaign}")
def campaign_page(request: Request, store: Database, visit: Visitor, campaign: Id) -> Response:
    """A campaign as annotators see it, with their last answers."""
    info = campaigns.get_campaign(store, visit.actor, campaign)
    guidelines = campaigns.list_guidelines(store, visit.actor, campaign)
    return render(
        request,
        "campaign.html",
        section="home",
        info=info,
        question=question_of(info.settings.work),
        guideline=guidelines[-1] if guidelines else None,
        progress=progress.own_progress(store, visit.actor, campaign),
        recent=_recent(store, visit.actor, campaign, info.settings.work),
        notice=notice_of(request),
    )


@router.post("/campaigns/{campaign}/next")
def next_task(
    request: Request, store: Database, visit: Visitor, now: Now, campaign: Id
) -> Response:
    """Claims a task and opens it."""
    return go(request, _next(store, visit.actor, campaign, now))


@router.get("/campaigns/{campaign}/nothing")
def nothing_page(
    request: Request, store: Database, visit: Visitor, campaign: Id, why: str = "empty"
) -> Response:
    """There is no work now, and why."""
    info = campaigns.get_campaign(store, visit.actor, campaign)
    heading, text = _NOTHING.get(why, _NOTHING["empty"])
    return render(
        request,
        "nothing.html",
        section="home",
        info=info,
        why=why if why in _NOTHING else "empty",
        heading=heading,
        text=text,
        recent=_recent(store, visit.actor, campaign, info.settings.work),
        notice=notice_of(request),
    )


@router.get("/tasks/{number}")
def task_page(request: Request, store: Database, visit: Visitor, number: Id) -> Response:
    """One task, with the draft or the answer filled in."""
    task = assignment.task(store, visit.actor, number)
    filled = _filled(task)
    markdown = task.markdown and request.query_params.get("view") != "text"
    rounds = _rounds(request, task, filled, request.query_params.get("more") == "yes")
    return _page(request, store, visit, task, filled, markdown=markdown, rounds=rounds)


# Answering


@router.post("/tasks/{number}")
def send(
    request: Request, store: Database, visit: Visitor, now: Now, form: Form, number: Id
) -> Response:
    """Stores the answer and opens the next task; one that is not complete is shown again."""
    task = assignment.task(store, visit.actor, number)
    fields = forms.fields_of(form.multi_items())
    markdown = task.markdown and one(fields, "markdown") == "yes"
    try:
        receipt = answers.submit(
            store,
            visit.actor,
            number,
            client_key=one(fields, "client_key"),
            value=_answer(request, task, fields),
            reason=one(fields, "reason"),
            active_ms=_count(one(fields, "active_ms")),
            ui_version=ui_version(),
            markdown=markdown,
            now=now,
        )
    except InvalidAnswer as error:
        if wants_json(request):
            raise
        return _again(request, store, visit, task, fields, error.problems)
    said = "saved" if receipt.status == "stored" else receipt.status
    return _on(request, store, visit.actor, task.campaign, said, now)


@router.post("/tasks/{number}/draft")
def draft(
    request: Request, store: Database, visit: Visitor, now: Now, form: Form, number: Id
) -> Response:
    """Keeps what was typed so far."""
    task = assignment.task(store, visit.actor, number)
    fields = forms.fields_of(form.multi_items())
    seq = _keep(request, store, visit.actor, task, fields, now)
    if wants_json(request):
        return JSONResponse({"seq": seq})
    view = "text" if one(fields, "view") == "text" else "markdown"
    return go(request, f"/tasks/{number}?said=draft&view={view}")


@router.post("/tasks/{number}/heartbeat")
def heartbeat(request: Request, store: Database, visit: Visitor, now: Now, number: Id) -> Response:
    """Prolongs the lease while the page is in sight."""
    lease = assignment.heartbeat(store, visit.actor, number, now=now)
    return JSONResponse({"live": lease.live, "until": lease.until.isoformat()})


@router.post("/tasks/{number}/skip")
def skip(
    request: Request, store: Database, visit: Visitor, now: Now, form: Form, number: Id
) -> Response:
    """Gives the task to others, with a reason."""
    task = assignment.task(store, visit.actor, number)
    fields = forms.fields_of(form.multi_items())
    reason = one(fields, "skip_reason")
    if reason not in SKIP_REASONS:
        problem = ("skip_reason", "choose a reason for skipping")
        return _again(request, store, visit, task, fields, (problem,))
    note = one(fields, "skip_note")
    assignment.skip(store, visit.actor, number, reason, note=note, now=now)
    return _on(request, store, visit.actor, task.campaign, "skipped", now)


@router.post("/tasks/{number}/flag")
def flag(
    request: Request, store: Database, visit: Visitor, now: Now, form: Form, number: Id
) -> Response:
    """Reports the task or one of its replies; the work stays as it is."""
    task = assignment.task(store, visit.actor, number)
    fields = forms.fields_of(form.multi_items())
    reason = one(fields, "flag_reason")
    if reason not in FLAG_REASONS:
        problem = ("flag_reason", "choose what is wrong")
        return _again(request, store, visit, task, fields, (problem,))
    _keep(request, store, visit.actor, task, fields, now)
    assignment.flag(
        store,
        visit.actor,
        number,
        reason,
        note=one(fields, "flag_note"),
        candidate=_count(one(fields, "flag_candidate")),
        now=now,
    )
    return go(request, f"/tasks/{number}?said=flagged")


@router.post("/tasks/{number}/say")
def say(
    request: Request, store: Database, visit: Visitor, now: Now, form: Form, number: Id
) -> Response:
    """Goes on with a red-team conversation: the model answers, or there is room for one more."""
    task = assignment.task(store, visit.actor, number)
    fields = forms.fields_of(form.multi_items())
    if task.state == "submitted" or not isinstance(task.work, RedTeam):
        raise Conflict("this conversation cannot go on", remedy="undo the answer first")
    reply = _replier(request)
    value = _so_far(request, task, fields)
    turns = value["turns"]
    if reply is not None and turns and turns[-1]["role"] == "user":
        talk = tuple(Message.model_validate(turn) for turn in turns)
        turns.append({"role": "assistant", "content": reply(talk)})
    # The model's turn must be kept even if the page saves a draft at the same moment.
    seq = max(_seq(fields), task.draft.seq if task.draft else 0) + 1
    answers.save_draft(store, visit.actor, number, value, seq, now=now)
    return go(request, f"/tasks/{number}?more=yes")


@router.post("/answers/{response}/undo")
def undo(request: Request, store: Database, visit: Visitor, now: Now, response: Id) -> Response:
    """Takes an answer back and opens its task."""
    number = answers.undo(store, visit.actor, response, now=now)
    return go(request, f"/tasks/{number}?said=undone")


# Parts: what comes next


def _next(store: Store, actor: Actor, campaign: int, now: datetime) -> str:
    found = assignment.claim(store, actor, campaign, now=now)
    if isinstance(found, Nothing):
        return f"/campaigns/{campaign}/nothing?why={found.why}"
    return f"/tasks/{found.assignment}"


def _on(
    request: Request, store: Store, actor: Actor, campaign: int, said: str, now: datetime
) -> Response:
    """To the next task, with a word on what became of the last one."""
    path = _next(store, actor, campaign, now)
    path += ("&" if "?" in path else "?") + f"said={said}"
    if wants_json(request):
        return JSONResponse({"next": below_root(request, path), "status": said})
    return go(request, path)


@dataclass(frozen=True)
class _Recent:
    response: int
    assignment: int
    said: str
    state: str
    at: datetime
    first_words: str


def _recent(store: Store, actor: Actor, campaign: int, work: Kind) -> list[_Recent]:
    letters = dict(enumerate(LETTERS))
    return [
        _Recent(
            found.response,
            found.assignment,
            forms.said(work, found.shown, letters) if found.shown else "",
            found.state,
            found.submitted_at,
            found.first_words,
        )
        for found in answers.last_answers(store, actor, campaign)
    ]


# Parts: from a form to a value


def _subject(task: Task) -> Subject:
    steps = task.candidates[0].steps if task.work.needs_steps else ()
    return Subject(tuple(one.id for one in task.candidates), steps)


def _answer(request: Request, task: Task, fields: Fields) -> Value:
    value = forms.read_answer(task.work, fields, _subject(task))
    return _with_talk(request, task, value)


def _so_far(request: Request, task: Task, fields: Fields) -> Value:
    value = _with_talk(request, task, forms.read(task.work, fields, _subject(task)))
    return {**value, "reason": one(fields, "reason")}


def _with_talk(request: Request, task: Task, value: Value) -> Value:
    """Where a model answers on this server, its turns are those kept here, not those of a form."""
    if task.work.kind != "redteam" or _replier(request) is None:
        return value
    kept = _kept_turns(task)
    said = [turn for turn in value["turns"] if turn["role"] == "user"]
    return {**value, "turns": [*kept, *said]}


def _kept_turns(task: Task) -> list[dict[str, str]]:
    value = _stored(task) or {}
    turns = list(cast(Sequence[dict[str, str]], value.get("turns", ())))
    return turns if len(turns) % 2 == 0 else turns[:-1]


def _keep(
    request: Request, store: Store, actor: Actor, task: Task, fields: Fields, now: datetime
) -> int:
    value = _so_far(request, task, fields)
    seq = _seq(fields)
    return answers.save_draft(store, actor, task.assignment, value, seq, now=now)


def _seq(fields: Fields) -> int:
    """The number of a draft: one more than the one that the form was filled in from."""
    return (_count(one(fields, "seq")) or 0) + 1


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _replier(request: Request) -> Replier | None:
    return getattr(request.app.state, "replier", None)


# Parts: the page


def _stored(task: Task) -> Value | None:
    if task.state == "submitted" and task.answer is not None:
        value = task.answer.value
        return None if value is None else {**value, "reason": task.answer.reason}
    return None if task.draft is None else task.draft.value


def _filled(task: Task) -> Filled:
    value = _stored(task)
    return {} if value is None else forms.fill(task.work, value)


def _rounds(request: Request, task: Task, filled: Filled, more: bool = False) -> int:
    """How many exchanges a red-team form shows: one more than a live model has answered."""
    if not isinstance(task.work, RedTeam):
        return 0
    if _replier(request) is None:
        wanted = max(1, forms.exchanges(filled)) + more
    else:
        wanted = sum(name.startswith("model_") for name in filled) + 1
    return min(wanted, task.work.max_turns // 2)


def _again(
    request: Request,
    store: Store,
    visit: Visit,
    task: Task,
    fields: Fields,
    problems: Sequence[tuple[str, str]],
) -> Response:
    filled = {name: list(values) for name, values in fields.items()}
    if task.work.kind == "redteam" and _replier(request) is not None:
        filled = {**filled, **_filled(task)}
    markdown = task.markdown and one(fields, "markdown") == "yes"
    return _page(
        request,
        store,
        visit,
        task,
        filled,
        markdown=markdown,
        rounds=_rounds(request, task, filled),
        problems=problems,
    )


def _page(
    request: Request,
    store: Store,
    visit: Visit,
    task: Task,
    filled: Filled,
    *,
    markdown: bool,
    rounds: int,
    problems: Sequence[tuple[str, str]] = (),
) -> Response:
    letters = {one.id: LETTERS[i] for i, one in enumerate(task.candidates)}
    values: dict[str, Any] = {
        "task": task,
        "info": campaigns.get_campaign(store, visit.actor, task.campaign),
        "question": question_of(task.work),
        "progress": progress.own_progress(store, visit.actor, task.campaign),
        "guideline": task.guideline,
        "filled": filled,
        "letters": letters,
        "markdown": markdown,
        "rounds": rounds,
        "live": _replier(request) is not None,
        "seq": task.draft.seq if task.draft else 0,
        "suggestions": [forms.said(task.work, s.value, letters) for s in task.suggestions],
        "skip_reasons": SKIP_REASONS,
        "flag_reasons": FLAG_REASONS,
        "keys": [*_KEYS[task.work.kind], *_COMMON_KEYS],
        "problems": problems,
        "notice": notice_of(request),
        "section": "home",
    }
    return render(request, "task.html", status_code=422 if problems else 200, **values)
