"""What can go wrong with one request, sorted by what is to be done about it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

Kind = Literal["away", "busy", "lost", "failed", "unusable", "declined", "unfit", "fatal"]
"""`away`: no connection, so nothing was asked. `busy`: asked to come back later. `lost`: sent, and
no whole answer came back. `failed`: the server failed. `unusable`: a whole answer, but not one of
chat completions. `declined`: the content was refused. `unfit`: this one request cannot be answered.
`fatal`: no request can be."""

BUSY, UNFIT = 429, 413
PASSING = frozenset({408, 409, 425})
"""Refusals that may not last, beside all failures of the server (5xx)."""
DECLINING = frozenset(
    {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
)
TOO_LONG = frozenset({"context_length_exceeded", "string_above_max_length"})
SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
SHOWN = 300
"""Characters of a server's message that are shown."""


class Failure(Exception):
    """One request that brought no answer.

    Args:
        kind: what is to be done about it.
        detail: what happened, in words.
        wait_s: seconds that the server asks to wait.
        tokens: of prompt and answer, where the server says that it counted some.
        status: of HTTP, where there was one.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        wait_s: float | None = None,
        tokens: tuple[int, int] = (0, 0),
        status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind: Kind = kind
        self.detail = detail
        self.wait_s = wait_s
        self.tokens = tokens
        self.status = status


def refusal(status: int, text: str, headers: Mapping[str, str]) -> Failure:
    """The failure that an HTTP status other than 200 stands for."""
    code, message = _said(text)
    detail = f"HTTP {status}: {message}" if message else f"HTTP {status}"
    wait_s = waiting_time(headers)
    return Failure(_kind(status, code, wait_s), detail, wait_s=wait_s, status=status)


def _kind(status: int, code: str, wait_s: float | None) -> Kind:
    if code in DECLINING:
        return "declined"
    if code in TOO_LONG or status == UNFIT:
        return "unfit"
    if code in SPENT:
        return "fatal"
    if status == BUSY or (status >= 500 and wait_s is not None):
        return "busy"
    if status >= 500 or status in PASSING:
        return "failed"
    return "fatal"


def waiting_time(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: `Retry-After` as a number or a date; None for nothing."""
    if (precise := _number(headers.get("retry-after-ms"))) is not None:
        return precise / 1000
    asked = headers.get("retry-after")
    if (seconds := _number(asked)) is not None or asked is None:
        return seconds
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max((until - datetime.now(UTC)).total_seconds(), 0.0)


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if 0 <= found < float("inf") else None


def _said(text: str) -> tuple[str, str]:
    """Code and message of a refusal in the usual forms; the beginning of any other."""
    try:
        body: Any = json.loads(text)
    except ValueError:
        return "", " ".join(text.split())[:SHOWN]
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return "", str(error)[:SHOWN]
    inner = error.get("innererror")
    codes = [inner.get("code") if isinstance(inner, dict) else None, error.get("code")]
    known = DECLINING | TOO_LONG | SPENT
    code = next((c for c in codes if isinstance(c, str) and c in known), codes[-1])
    message = error.get("message") or error.get("detail") or error
    return str(code or ""), str(message)[:SHOWN]
