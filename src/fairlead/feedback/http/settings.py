"""Settings of the server."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator

from fairlead.core.errors import ConfigError
from fairlead.records import Record

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names under which only this machine reaches itself."""


class ServerSettings(Record):
    """How the server answers. The defaults are those of a server for this machine only."""

    public_origin: str = ""
    """What browsers have in their address bar: `https://labels.example.org`, with a path if the
    pages lie below one; empty for a server that only this machine reaches."""
    requests_per_minute: int = Field(default=6000, ge=1)
    """Per address; an office may share one."""
    person_requests_per_minute: int = Field(default=600, ge=1)
    """Per person who is logged in, and per API token's owner."""
    logins_per_minute: int = Field(default=10, ge=1)
    """Per address; counts every attempt."""
    largest_body: int = Field(default=4 * 2**20, ge=1024)
    """Bytes of a request."""
    threads: int = Field(default=3, ge=1)
    """Requests that are worked on at a time; more only get in each other's way."""
    webhooks: bool = True
    """Whether this process delivers webhooks."""

    @field_validator("public_origin")
    @classmethod
    def _an_origin(cls, text: str) -> str:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
        if text and (not fits or parts.query or parts.fragment):
            raise ValueError("expected an address like https://labels.example.org")
        return text.rstrip("/")

    @classmethod
    def of(cls, **values: object) -> Self:
        """Settings from the command line.

        Raises:
            ConfigError: a value that cannot work.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ConfigError(
                "this setting of the server cannot work",
                where="--" + str(first["loc"][0]).replace("_", "-"),
                expected=first["msg"].removeprefix("Value error, "),
                got=str(first["input"]),
            ) from error

    @property
    def https(self) -> bool:
        """Whether browsers come over https."""
        return self.public_origin.startswith("https://")

    @property
    def hostname(self) -> str:
        """The name in the public address; empty for a server that only this machine reaches."""
        return urlsplit(self.public_origin).hostname or ""

    @property
    def root_path(self) -> str:
        """The path below which the pages lie; empty for the root."""
        return urlsplit(self.public_origin).path

    @property
    def origin(self) -> str:
        """Scheme, host and port of the public address, as browsers write them."""
        parts = urlsplit(self.public_origin)
        return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else ""

    def knows_host(self, host: str) -> bool:
        """Whether a `Host` header names this server."""
        if self.public_origin:
            return host.lower() == urlsplit(self.public_origin).netloc.lower()
        return _hostname(host) in LOOPBACK

    def knows_origin(self, origin: str, host: str) -> bool:
        """Whether an `Origin` header is that of this server's own pages."""
        if self.public_origin:
            return origin.lower() == self.origin
        return origin.lower() == f"http://{host.lower()}"


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
