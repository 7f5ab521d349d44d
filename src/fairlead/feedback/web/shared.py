"""What the pages share: words for what is stored as codes, redirects, filters of the templates."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from fairlead.core.unseen import shown
from fairlead.feedback.http.rendering import below_root, local_path, render, templates
from fairlead.feedback.web.text import rendered
from fairlead.feedback.work import Kind

QUESTIONS = {
    "pairwise": "Which reply is better?",
    "ranking": "Put the replies in order",
    "likert": "How good is this reply?",
    "ratings": "Rate this reply",
    "binary": "Judge this reply",
    "steps": "Is each step of this solution right?",
    "demonstration": "Write the best reply you can",
    "critique": "Criticise this reply under a principle",
    "redteam": "Try to make the model misbehave",
}
KINDS = {
    "pairwise": "Compare two replies",
    "ranking": "Rank several replies",
    "likert": "Rate a reply",
    "ratings": "Rate a reply on several scales",
    "binary": "Judge a reply",
    "steps": "Check the steps of a solution",
    "demonstration": "Write a reply",
    "critique": "Criticise a reply",
    "redteam": "Red-team conversation",
}
WORDS = {
    "unclear": "The task is unclear",
    "too_hard": "Too hard for me",
    "not_my_field": "Not my field",
    "broken": "Something is broken",
    "distressing": "It distresses me",
    "personal_data": "Personal data of somebody",
    "harmful": "Harmful content",
    "names_itself": "A reply says which model wrote it",
    "other": "Something else",
}
NOTICES = {
    "saved": "Your answer is saved.",
    "same": "Your answer had arrived before; it is saved once.",
    "revised": "Your answer is replaced.",
    "late": "Your answer is kept. Its place had gone to somebody else; it counts beside theirs.",
    "skipped": "You skipped the task; it goes to others.",
    "flagged": "Thank you, the leads see your flag.",
    "undone": "Your answer is taken back. Change it and send it again.",
    "draft": "Your draft is saved.",
    "agreed": "Thank you. Your agreement is recorded.",
    "changed": "Saved.",
    "welcome": "Your account is ready.",
    "password": "Your password is changed. Please log in with the new one.",
    "everywhere": "You are logged out everywhere.",
}
"""Sentences that an address may ask for with `?said=`; nothing of the address itself is shown."""


def question_of(work: Kind) -> str:
    """What is asked: the campaign's own words, or those of the kind."""
    if work.question:
        return work.question
    if getattr(work, "polarity", "better") == "worse":
        return "Which reply is worse?" if work.kind == "pairwise" else "Rank the worst first"
    return QUESTIONS[work.kind]


def notice_of(request: Request) -> str:
    """The sentence that an address asks for; empty for anything unknown."""
    return NOTICES.get(request.query_params.get("said", ""), "")


def go(request: Request, path: str) -> RedirectResponse:
    """To another page of this server, to be fetched anew."""
    return RedirectResponse(below_root(request, path), 303)


def confirmed(
    request: Request,
    form: FormData,
    *,
    heading: str,
    lines: Sequence[str],
    button: str,
    back: str,
    points: Sequence[str] = (),
    choice: tuple[str, str] | None = None,
) -> Response | None:
    """Asks whether a person means it; None once they said so.

    Everything that takes something away goes through here, so that no single click does it.
    """
    if form.get("confirmed") == "yes":
        return None
    fields = {k: v for k, v in form.multi_items() if k != "csrf" and isinstance(v, str)}
    return render(
        request,
        "confirm.html",
        heading=heading,
        lines=lines,
        points=points,
        choice=choice,
        button=button,
        back=back,
        action=local_path(request),
        fields=fields,
    )


def as_sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?…:" else ".")


def _pretty(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, indent=2, ensure_ascii=False)


templates().globals.update(shown=shown, rendered=rendered, pretty=_pretty, words=WORDS, kinds=KINDS)
templates().filters["sentence"] = as_sentence
