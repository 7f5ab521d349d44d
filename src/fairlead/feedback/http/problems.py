"""Errors as answers: every one has a status, and says what, where, expected, got, remedy."""

import logging
import traceback
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import Field
from sqlalchemy.exc import DataError as UnfitValue
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from fairlead.core.errors import ConfigError, DataError, FairleadError, ServiceError
from fairlead.feedback.errors import (
    AnswerConflict,
    Conflict,
    InvalidAnswer,
    LoginFailed,
    Missing,
    Refused,
)
from fairlead.feedback.http.rendering import below_root, local_path, render
from fairlead.records import Record

ERRORS = logging.getLogger("fairlead.feedback.errors")


class TooMany(FairleadError):
    """Requests come faster than the server's limits allow."""

    wait_s: float = 1.0
    """Seconds after which the next one is let in."""


class TooLarge(DataError):
    """A request with more bytes than the server takes."""


class WrongHost(FairleadError):
    """A request for another server, or through a proxy that hides the address."""


STATUS: tuple[tuple[type[FairleadError], int], ...] = (
    (WrongHost, 421),
    (TooMany, 429),
    (TooLarge, 413),
    (LoginFailed, 401),
    (Refused, 403),
    (Missing, 404),
    (Conflict, 409),
    (ServiceError, 503),
    (DataError, 422),
    (ConfigError, 422),
)


class FieldProblem(Record):
    """What is wrong with one field."""

    field: str
    sentence: str


class Problem(Record):
    """What every answer with an error says."""

    what: str
    where: str = ""
    expected: str = ""
    got: str = ""
    remedy: str = ""
    problems: tuple[FieldProblem, ...] = ()
    """For answers and requests that do not fit: each field."""
    stored: dict[str, Any] | None = Field(default=None)
    """For an answer in conflict: the one that is kept."""
    sent: dict[str, Any] | None = None
    """For an answer in conflict: the one that came."""


def status_of(error: FairleadError) -> int:
    """The HTTP status of an error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def problem_of(error: FairleadError) -> Problem:
    """What an error says, as data."""
    fields = error.problems if isinstance(error, InvalidAnswer) else ()
    both = (error.stored, error.sent) if isinstance(error, AnswerConflict) else (None, None)
    return Problem(
        what=error.what,
        where=error.where,
        expected=error.expected,
        got=error.got,
        remedy=error.remedy,
        problems=tuple(FieldProblem(field=f, sentence=s) for f, s in fields),
        stored=both[0],
        sent=both[1],
    )


def answer(request: Request, error: FairleadError) -> Response:
    """The answer that tells of an error: JSON for programs, a page for people."""
    headers: dict[str, str] = {}
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(max(1, round(error.wait_s)))
    if isinstance(error, ServiceError):
        headers["Retry-After"] = "1"
    if isinstance(error, LoginFailed):
        headers["WWW-Authenticate"] = "Bearer"
    return respond(request, status_of(error), problem_of(error), headers)


def respond(
    request: Request, status: int, problem: Problem, headers: dict[str, str] | None = None
) -> Response:
    """A problem as JSON, or as a page."""
    if wants_json(request):
        content = problem.model_dump(mode="json", exclude_defaults=True)
        return JSONResponse({"what": problem.what, **content}, status, headers)
    page = render(
        request,
        "error.html",
        status_code=status,
        status=status,
        heading=problem.what.capitalize(),
        message=problem.got,
        remedy=problem.remedy,
        problem=problem,
    )
    page.headers.update(headers or {})
    return page


def wants_json(request: Request) -> bool:
    """Whether a program asks: anything of the API, and scripts that say so."""
    if local_path(request).startswith("/api/"):
        return True
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


def route_of(request: Request) -> str:
    """The route of a request, not its path: a path may hold the secret of an invitation."""
    if "endpoint" not in request.scope:
        return "-"
    names = {str(value): name for name, value in request.path_params.items()}
    parts = local_path(request).split("/")
    return "/".join(f"{{{names[part]}}}" if part in names else part for part in parts)


def log_failure(error: Exception, where: str = "webhooks") -> None:
    """Logs a bug: the lines of code, not the message, which may quote what people wrote."""
    lines = "".join(traceback.format_tb(error.__traceback__))
    ERRORS.error("%s at %s\n%s", type(error).__name__, where, lines)


def add_handlers(app: FastAPI) -> None:
    """Answers every error that a handler may raise; nothing else may become a 500."""
    app.add_exception_handler(LoginFailed, _not_logged_in)
    app.add_exception_handler(FairleadError, _of_ours)
    app.add_exception_handler(RequestValidationError, _unfit_request)
    app.add_exception_handler(HTTPException, _of_the_framework)
    app.add_exception_handler(UnfitValue, _unfit_value)
    app.add_exception_handler(DBAPIError, _database)


async def _of_ours(request: Request, error: Any) -> Response:
    return answer(request, error)


async def _not_logged_in(request: Request, error: Any) -> Response:
    """Pages lead to the login and back; what was typed into a form goes along."""
    if wants_json(request):
        return answer(request, error)
    if request.method in ("GET", "HEAD"):
        back = local_path(request) + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(below_root(request, f"/login?next={quote(back)}"), 303)
    form = await request.form()
    fields: dict[str, list[str]] = {}
    for name, text in form.multi_items():
        if name != "csrf" and isinstance(text, str):
            fields.setdefault(name, []).append(text)
    return render(request, "kept.html", status_code=401, action=local_path(request), fields=fields)


async def _unfit_request(request: Request, error: Any) -> Response:
    fields = [
        FieldProblem(field=".".join(str(part) for part in one["loc"]), sentence=one["msg"])
        for one in error.errors()
    ]
    problem = Problem(
        what="the request does not fit",
        where=", ".join(one.field for one in fields[:5]),
        expected="what the description of the API says: /api/v1/openapi.json",
        got="; ".join(f"{one.field}: {one.sentence}" for one in fields[:5]),
        remedy="correct the request and send it again",
        problems=tuple(fields[:50]),
    )
    return respond(request, 422, problem)


async def _of_the_framework(request: Request, error: Any) -> Response:
    known = {
        404: Problem(what="there is no such page", remedy="check the address"),
        405: Problem(
            what="this address does not take this kind of request",
            expected=(error.headers or {}).get("Allow", ""),
            got=request.method,
        ),
        413: Problem(what="the request is too large", remedy="send less at a time"),
    }
    other = Problem(what=HTTPStatus(error.status_code).phrase.lower(), got=str(error.detail))
    problem = known.get(error.status_code, other)
    return respond(request, error.status_code, problem, dict(error.headers or {}))


async def _unfit_value(request: Request, error: Any) -> Response:
    problem = Problem(
        what="a value cannot be stored",
        got="a number that is too large, or a character that no database keeps",
        remedy="correct the request and send it again",
    )
    return respond(request, 422, problem)


async def _database(request: Request, error: Any) -> Response:
    log_failure(error, route_of(request))
    busy = ServiceError(
        "the database does not answer",
        got=type(error).__name__,
        remedy="try again in a moment; nothing of the request was stored",
    )
    return answer(request, busy)
