"""What all parts of the API share."""

import json
import math
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from fairlead.feedback.http.problems import FieldProblem, Problem
from fairlead.feedback.store.tables import BIG
from fairlead.feedback.work import unstorable

__all__ = ["BIG", "DEEPEST", "ApiRoute", "FieldProblem", "Id", "Name", "Problem", "part"]

Id = Annotated[int, Path(ge=1, le=BIG)]
"""The number of a thing."""
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""A pseudonym."""

DEEPEST = 32
"""Levels of lists and objects in a request."""


class ApiRoute(APIRoute):
    """Takes JSON that any database can keep, and nothing else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, behind a request that reads JSON strictly."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


def part(tag: str) -> APIRouter:
    """A part of the API."""
    return APIRouter(route_class=ApiRoute, tags=[tag])


class _StrictRequest(Request):
    async def json(self) -> Any:
        value = json.loads(await self.body())
        why = _unfit(value)
        if why:
            raise HTTPException(400, why)
        return value


def _unfit(value: Any, depth: int = 0) -> str:
    """Why a JSON value cannot be kept; empty if it can."""
    if isinstance(value, str):
        return "a text holds NUL or half of a surrogate pair" if unstorable(value) else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "a number is not finite"
    if isinstance(value, dict | list) and depth == DEEPEST:
        return f"more than {DEEPEST} levels of lists and objects"
    inside: Any = ()
    if isinstance(value, dict):
        inside = (*value, *value.values())
    elif isinstance(value, list):
        inside = value
    return next((why for one in inside if (why := _unfit(one, depth + 1))), "")
