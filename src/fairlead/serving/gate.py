"""What every request passes before anything else looks at it, and every answer on its way out.

There is no CORS: pages of other sites cannot read answers. What they could send without asking
(plain text, forms) is refused, too, since only JSON is taken; and without a key, requests must name
this machine, so that no site can make its own name point here.
"""

import hmac
import logging
import time
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fairlead.serving.problems import (
    Forbidden,
    Refusal,
    TooLarge,
    Unauthorised,
    body,
    failed,
    headers,
    new_id,
)
from fairlead.serving.settings import LOOPBACK, ServeSettings, is_local

ACCESS = logging.getLogger("fairlead.serving.access")

OPEN = frozenset({"/health"})
"""Paths that need no key: they tell nothing that was asked or answered."""


class Gate:
    """Checks host, key, kind and size; names every answer; writes the access log."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self.app, self.settings = app, settings
        key = settings.api_key
        self.expected = None if key is None else f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, name, status = time.perf_counter(), new_id("req"), 500

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = MutableHeaders(scope=message)
                own["x-request-id"] = name
                own["x-content-type-options"] = "nosniff"
                own["cache-control"] = "no-store"
            await send(message)

        try:
            await self._passed(scope, receive, named)
        finally:
            seconds = time.perf_counter() - begun
            # A path is the client's own text: line breaks in it must not look like other entries.
            path = scope["path"].encode("unicode_escape").decode()[:200]
            ACCESS.info("%s %s %s %d %.3f s", name, scope["method"], path, status, seconds)

    async def _passed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers; a bug is an answer, too."""
        try:
            self._check(Headers(scope=scope), scope)
            await self.app(scope, self._counted(receive), send)
        except Refusal as error:
            refusal = error
        except Exception as error:
            refusal = failed(error, "a request could not be answered")
        else:
            return
        answer = JSONResponse(body(refusal), refusal.status, headers(refusal))
        with suppress(RuntimeError):  # An answer has begun already; it ends here.
            await answer(scope, receive, send)

    def _check(self, found: Headers, scope: Scope) -> None:
        if self.expected is not None and scope["path"] not in OPEN:
            given = found.get("authorization", "").encode()
            if not hmac.compare_digest(given, self.expected):
                raise Unauthorised(
                    "the API key is missing or wrong",
                    expected="the header Authorization: Bearer KEY",
                    got="a wrong one" if given else "none",
                    remedy="give your client the key that this server was started with",
                )
        if self.expected is None and is_local(self.settings.host):
            _refuse_strange(found.get("host", ""))
        if scope["method"] == "POST":
            _refuse_other_kinds(found.get("content-type", ""))
        length = found.get("content-length", "")
        if length.isdigit() and int(length) > self.settings.largest_body:
            raise self._too_large()

    def _counted(self, receive: Receive) -> Receive:
        """Stops reading a body that says nothing of its length and goes on too long."""
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.settings.largest_body:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> TooLarge:
        return TooLarge(
            "the request is too large",
            expected=f"at most {self.settings.largest_body} bytes",
            remedy="shorten the conversation",
        )


def _refuse_strange(host: str) -> None:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if name not in LOOPBACK and not is_local(name):
        raise Forbidden(
            "this server answers its own machine only",
            where="Host",
            expected="localhost or 127.0.0.1",
            got=host[:100],
            remedy="use that address, or start the server with --api-key-env",
        )


def _refuse_other_kinds(kind: str) -> None:
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise Refusal(
            "the body must be JSON",
            where="Content-Type",
            expected="application/json",
            got=kind[:100] or "nothing",
            remedy="send the header Content-Type: application/json",
        )
