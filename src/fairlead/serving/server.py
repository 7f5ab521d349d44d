"""Starts the server, and ends it in order."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from fairlead.core.errors import ConfigError
from fairlead.serving.app import PROMPTS, Desk, Served, create_app
from fairlead.serving.gate import ACCESS
from fairlead.serving.problems import ERRORS
from fairlead.serving.settings import ServeSettings, is_local
from fairlead.serving.worker import Worker

if TYPE_CHECKING:
    from fairlead.serving.votes import Votes


def key_from(variable: str | None) -> str | None:
    """The API key in an environment variable; None where none is named.

    Raises:
        ConfigError: the variable holds none.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            "there is no API key",
            where=f"--api-key-env {variable}",
            expected=f"a key in the environment variable {variable}",
            got="nothing",
            remedy=f"export {variable}=$(openssl rand -hex 24)",
        )
    return key


def refuse_open(settings: ServeSettings) -> None:
    """Stops a server that others could use without a key.

    Raises:
        ConfigError: says what is missing.
    """
    if settings.api_key is None and not is_local(settings.host):
        raise ConfigError(
            "other machines could use the server without a key",
            where=f"--host {settings.host}",
            expected="--api-key-env NAME, the environment variable that holds a key",
            got="nothing",
            remedy="name one, or listen on 127.0.0.1",
        )


def listening(settings: ServeSettings) -> socket.socket:
    """A socket at the server's address.

    Raises:
        ConfigError: there is no such address, or somebody listens there.
    """
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=2048)  # pyright: ignore
    except OSError as error:
        raise ConfigError(
            "the server cannot listen there",
            where=f"--host {settings.host} --port {settings.port}",
            got=str(error),
            remedy="choose another --port, or end what listens there",
        ) from error


class Server(uvicorn.Server):
    """Ends in order: no new requests, those that wait are told so, those under way may end."""

    def __init__(self, config: uvicorn.Config, worker: Worker, grace_s: float) -> None:
        super().__init__(config)
        self.worker, self.grace_s = worker, grace_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called once when a signal has come."""
        self.worker.drain()
        loop = asyncio.get_running_loop()
        alarm = loop.call_later(self.grace_s, self.worker.stop)
        await super().shutdown(sockets)
        alarm.cancel()
        self.worker.stop()


def server_of(
    served: Served, settings: ServeSettings, worker: Worker, votes: "Votes | None" = None
) -> Server:
    """A server that has not been started; its worker neither."""
    config = uvicorn.Config(
        create_app(Desk(served, settings, worker, votes)),
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        # Behind the end of the grace period, after which nobody can be waiting.
        timeout_graceful_shutdown=round(settings.grace_s) + 10,
    )
    return Server(config, worker, settings.grace_s)


def serve_until_stopped(
    listener: socket.socket,
    served: Served,
    settings: ServeSettings,
    worker: Worker,
    votes: "Votes | None",
    *,
    say: Callable[[str], None],
) -> None:
    """Answers requests until a signal ends it.

    Args:
        listener: where.
        served: what.
        settings: how.
        worker: who answers; started here.
        votes: where opinions go.
        say: takes lines for the person who started it.
    """
    _write_logs()
    server = server_of(served, settings, worker, votes)
    worker.start()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    say(f"Serving {settings.name} on http://{host}:{listener.getsockname()[1]}/v1; Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):  # Raised again after everything has ended in order.
        server.run(sockets=[listener])


def _write_logs() -> None:
    """The access log, without content, and errors, on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    for logger in (ACCESS, ERRORS, PROMPTS):
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
