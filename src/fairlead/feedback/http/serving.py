"""The server process: where it listens, what it refuses to do unsafely, its logs."""

import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path

import uvicorn

from fairlead.core.errors import ConfigError
from fairlead.feedback import accounts
from fairlead.feedback.http.app import create_app
from fairlead.feedback.http.gate import ACCESS
from fairlead.feedback.http.problems import ERRORS
from fairlead.feedback.http.settings import LOOPBACK, ServerSettings
from fairlead.feedback.http.visits import utc_now
from fairlead.feedback.permissions import LOCAL
from fairlead.feedback.store import Store, open_store
from fairlead.records import Record

LOG_DAYS = 14
"""How long the access log is kept."""


class Listening(Record):
    """Where the server listens, and how it is reached."""

    host: str = "127.0.0.1"
    port: int = 8000
    certificate: Path | None = None
    key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    """Whose `X-Forwarded-For` is believed; behind a public origin this machine's own, too."""
    access_log: Path | None = None
    """None for stderr."""
    plain_http: bool = False
    """Whether other machines may be served without https."""


def serve_until_stopped(
    db: str, listening: Listening, settings: ServerSettings, *, say: Callable[[str], None]
) -> None:
    """Opens the database, listens, and serves until a signal ends it.

    Args:
        db: address of the database.
        listening: where.
        settings: how.
        say: takes lines for the person who started it.

    Raises:
        ConfigError: an unsafe or impossible way to listen, or a database that cannot be opened.
    """
    refuse_unsafe(listening, settings)
    os.umask(0o077)  # Database and logs are for this user only.
    store = open_store(db)
    try:
        listener = _listener(listening)
        address = _address(listening, settings, listener)
        _write_logs(listening)
        _welcome(store, address, say)
        server = uvicorn.Server(_config(store, listening, settings))
        with suppress(KeyboardInterrupt):  # Raised again after everything has ended in order.
            server.run(sockets=[listener])
    finally:
        store.close()


def refuse_unsafe(listening: Listening, settings: ServerSettings) -> None:
    """Stops a server that others could reach, or listen to, by mistake.

    Raises:
        ConfigError: says what is missing.
    """
    where = f"--host {listening.host}"
    if (listening.certificate is None) != (listening.key is None):
        raise ConfigError("a certificate and its key belong together", where="--certificate, --key")
    https = settings.https
    if listening.certificate is not None and not https:
        raise ConfigError(
            "a server with a certificate must know its address",
            where="--public-origin",
            expected="https:// and the name in the certificate",
            got=settings.public_origin or "nothing",
        )
    local = _is_local(listening.host)
    if not local and not settings.public_origin:
        raise ConfigError(
            "a server that others reach must know its address",
            where=where,
            expected="--public-origin, e.g. https://labels.example.org",
            got="nothing",
            remedy="name the address that browsers show, or listen on 127.0.0.1",
        )
    public = not local or not _is_local(settings.hostname)
    if public and not https and not listening.plain_http:
        raise ConfigError(
            "without https, passwords and answers would cross the network readable by others",
            where=where,
            expected="--public-origin https://..., or --certificate and --key",
            got=settings.public_origin,
            remedy="put a proxy with https in front; for a network that you trust, --plain-http",
        )


def _is_local(host: str) -> bool:
    if host in ("", *LOOPBACK):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listener(listening: Listening) -> socket.socket:
    try:
        found = socket.getaddrinfo(listening.host, listening.port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=2048)  # pyright: ignore
    except (OSError, OverflowError) as error:
        raise ConfigError(
            "the server cannot listen there",
            where=f"--host {listening.host} --port {listening.port}",
            got=str(error),
            remedy="choose another --port, or end what listens there",
        ) from error


def _address(listening: Listening, settings: ServerSettings, listener: socket.socket) -> str:
    host = f"[{listening.host}]" if ":" in listening.host else listening.host
    return settings.public_origin or f"http://{host}:{listener.getsockname()[1]}"


def _welcome(store: Store, address: str, say: Callable[[str], None]) -> None:
    if not accounts.has_owner(store):
        valid = timedelta(days=1)
        secret = accounts.invite(store, LOCAL, "owner", valid=valid, now=utc_now())
        say("Nobody owns this server yet. Make your account here (works once, for a day):")
        say(f"  {address}/invite/{secret}")
    say(f"Serving on {address}; Ctrl-C ends it.")


def _config(store: Store, listening: Listening, settings: ServerSettings) -> uvicorn.Config:
    proxies = [
        *listening.trusted_proxies,
        *(("127.0.0.1", "::1") if settings.public_origin else ()),
    ]
    return uvicorn.Config(
        create_app(store, settings),
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.key,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )


def _write_logs(listening: Listening) -> None:
    """The access log, without content and with addresses cut short, and errors on stderr."""
    handler: logging.Handler = logging.StreamHandler()
    if listening.access_log is not None:
        handler = TimedRotatingFileHandler(
            listening.access_log, when="midnight", backupCount=LOG_DAYS, utc=True
        )
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    for logger, one in ((ACCESS, handler), (ERRORS, logging.StreamHandler())):
        logger.handlers[:] = [one]
        logger.setLevel(logging.INFO)
        logger.propagate = False
