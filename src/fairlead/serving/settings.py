"""Settings of the server."""

import ipaddress

from pydantic import Field, PositiveFloat, PositiveInt

from fairlead.records import Record

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names under which only this machine reaches itself."""


class ServeSettings(Record):
    """How requests are answered. The defaults are those of a server for this machine only."""

    name: str
    """What clients call the model."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    """0 for any that is free."""
    api_key: str | None = Field(default=None, repr=False)
    """What clients must send; None lets everybody in who reaches the server."""
    rows: PositiveInt = 64
    """Replies decoded together: the memory knob."""
    queue: int = Field(default=64, ge=0)
    """Requests that may wait for a place; more are turned away."""
    timeout_s: PositiveFloat = 120.0
    """Seconds from a request's arrival to the end of its reply."""
    max_tokens: PositiveInt = 1024
    """Longest reply in tokens, and what requests get that say nothing."""
    largest_body: int = Field(default=4 * 2**20, ge=1024)
    """Bytes of a request."""
    grace_s: PositiveFloat = 20.0
    """Seconds that replies under way have to end in when the server is stopped."""
    seed: int = 0
    """Root of what is drawn for requests without a seed of their own."""
    log_prompts: bool = False
    """Whether the log holds what was asked and answered."""


def is_local(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
