"""What every request passes before anything else looks at it, and every answer on its way out."""

import logging
import time
from typing import Any

from fastapi import Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fairlead.core.errors import FairleadError
from fairlead.feedback.errors import Refused
from fairlead.feedback.http.limits import Limit, neighbourhood, truncated
from fairlead.feedback.http.problems import (
    Problem,
    TooLarge,
    WrongHost,
    answer,
    log_failure,
    respond,
    route_of,
)
from fairlead.feedback.http.settings import ServerSettings

ACCESS = logging.getLogger("fairlead.feedback.access")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: browsers would then hide the origin of forms, which is checked.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-frame-options": "DENY",
    # Pages are personal; what is not says so itself.
    "cache-control": "no-store",
}
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """Checks host, origin, size and rate; sets headers; writes the access log; hides failures."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self.app, self.settings = app, settings
        self.headers = dict(HEADERS)
        if settings.https:
            self.headers["strict-transport-security"] = "max-age=31536000"
        per_minute = settings.requests_per_minute
        self.limit = Limit(per_minute, burst=max(10, per_minute // 6))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 500

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, text in self.headers.items():
                    headers.setdefault(name, text)
            await send(message)

        await self._serve(scope, receive, finish)
        _log(scope, status, time.perf_counter() - begun)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        request = Request(scope)
        try:
            self._admit(request)
            await self.app(scope, self._counted(receive), watch)
        except FairleadError as error:
            await self._end(answer(request, error), scope, receive, watch, started)
        except Exception as error:
            await self._end(_failure(request, error), scope, receive, watch, started)

    async def _end(
        self, response: Response, scope: Scope, receive: Receive, send: Send, started: bool
    ) -> None:
        if not started:
            # What is left of the body is not read.
            response.headers["connection"] = "close"
            await response(scope, receive, send)

    def _admit(self, request: Request) -> None:
        self.limit.take(neighbourhood(address_of(request)))
        host = request.headers.get("host", "")
        if not self.settings.knows_host(host):
            raise _wrong_host(self.settings, host)
        if request.method not in SAFE:
            self._check_origin(request.headers, host)
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self.settings.largest_body:
            raise self._too_large()

    def _check_origin(self, headers: Headers, host: str) -> None:
        """Browsers say where a request comes from; from other sites nothing is taken.

        Programs say nothing; they need a token, or a session with its CSRF token.
        """
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        foreign = origin is not None and not self.settings.knows_origin(origin, host)
        if foreign or (origin is None and site not in (None, "same-origin", "none")):
            raise Refused(
                "this request comes from another site",
                where="Origin",
                expected=self.settings.origin or f"http://{host}",
                got=origin or f"Sec-Fetch-Site: {site}",
                remedy="open this server's own page; behind a proxy, start the server with"
                " --public-origin and the address that browsers show",
            )

    def _counted(self, receive: Receive) -> Receive:
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.settings.largest_body:
                raise HTTPException(413)  # The framework lets no other error out of a body.
            return message

        return counted

    def _too_large(self) -> TooLarge:
        return TooLarge(
            "the request is too large",
            expected=f"at most {self.settings.largest_body} bytes",
            remedy="send less at a time",
        )


def address_of(request: Request) -> str:
    """Where a request comes from, as far as the server knows."""
    return "" if request.client is None else request.client.host


def _wrong_host(settings: ServerSettings, host: str) -> WrongHost:
    return WrongHost(
        "this server does not answer under this name",
        where="Host",
        expected=settings.public_origin or "localhost or 127.0.0.1",
        got=host[:100],
        remedy="behind a proxy, start the server with --public-origin and the address that"
        " browsers show, and let the proxy pass the Host header on",
    )


def _failure(request: Request, error: Exception) -> Response:
    log_failure(error, route_of(request))
    problem = Problem(
        what="something went wrong in the server",
        remedy="try again; if it happens again, tell whoever runs this server",
    )
    return respond(request, 500, problem)


def _log(scope: Any, status: int, seconds: float) -> None:
    client = scope.get("client")
    address = truncated(client[0] if client else "")
    millis = round(1000 * seconds)
    ACCESS.info(
        "%s %s %s %d %d ms", address, scope["method"], route_of(Request(scope)), status, millis
    )
