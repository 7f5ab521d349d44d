"""The application: gate, API, pages, static files."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import anyio.to_thread
from fastapi import FastAPI, Request, Response

from fairlead import __version__
from fairlead.feedback.errors import Missing
from fairlead.feedback.http import api, problems
from fairlead.feedback.http.gate import Gate
from fairlead.feedback.http.limits import Limit
from fairlead.feedback.http.rendering import static_files, ui_version
from fairlead.feedback.http.settings import ServerSettings
from fairlead.feedback.http.visits import Limits, utc_now
from fairlead.feedback.store import Store
from fairlead.feedback.web.pages import router as pages
from fairlead.feedback.webhooks import Worker

KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
}
"""Types of static files by the end of their name."""


def create_app(
    store: Store,
    settings: ServerSettings | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
) -> FastAPI:
    """The feedback service as an ASGI application.

    Args:
        store: an open database.
        settings: None for a server that only this machine reaches.
        clock: the time, for tests of what expires.
    """
    settings = settings or ServerSettings()
    app = FastAPI(
        title="Fairlead feedback",
        description="People label; nothing is lost. Log in with a cookie, or send a token: "
        "`Authorization: Bearer fl_...`.",
        version=__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        root_path=settings.root_path,
        root_path_in_servers=False,
        lifespan=_lifetime,
        redirect_slashes=False,
    )
    app.state.store, app.state.settings, app.state.clock = store, settings, clock
    app.state.limits = Limits(
        people=Limit(settings.person_requests_per_minute, burst=60),
        logins=Limit(settings.logins_per_minute, burst=settings.logins_per_minute),
    )
    app.add_middleware(Gate, settings=settings)
    problems.add_handlers(app)
    app.include_router(api.router)
    app.add_api_route("/static/{name}", static_file, include_in_schema=False)
    app.include_router(pages, include_in_schema=False)
    return app


async def static_file(request: Request, name: str) -> Response:
    """One of the package's own files, by its exact name; no path is ever built from a request."""
    content = static_files().get(name)
    if content is None:
        raise Missing("there is no such file", remedy="check the address")
    version = ui_version()
    named = request.query_params.get("v") == version
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if named else "no-cache",
        "ETag": f'"{version}"',
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    kind = KINDS.get(name.rpartition(".")[2], "application/octet-stream")
    return Response(content, media_type=kind, headers=headers)


@asynccontextmanager
async def _lifetime(app: FastAPI) -> AsyncGenerator[None]:
    state = app.state
    anyio.to_thread.current_default_thread_limiter().total_tokens = state.settings.threads
    worker = Worker(state.store, state.clock, failed=problems.log_failure)
    if state.settings.webhooks:
        worker.start()
    yield
    if state.settings.webhooks:
        await anyio.to_thread.run_sync(worker.stop)
