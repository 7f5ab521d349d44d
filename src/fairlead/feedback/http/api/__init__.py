"""The JSON API under `/api/v1`: the service functions, with a login in front of each."""

from fastapi import APIRouter

from fairlead.feedback.http.api import accounts, campaigns, hooks, sessions, work
from fairlead.feedback.http.api.common import ApiRoute, Problem

PROBLEMS = {
    400: "The request cannot be read.",
    401: "Nobody is logged in.",
    403: "Not allowed.",
    404: "There is no such thing, or not for you.",
    409: "The thing is no longer in the state that the request assumes.",
    413: "The request is too large.",
    421: "A request for another host.",
    422: "The request does not fit.",
    429: "Too many requests.",
    503: "The database is busy.",
}

router = APIRouter(
    prefix="/api/v1",
    route_class=ApiRoute,
    responses={
        status: {"model": Problem, "description": text} for status, text in PROBLEMS.items()
    },
)
for part in (sessions, work, campaigns, accounts, hooks):
    router.include_router(part.router)
