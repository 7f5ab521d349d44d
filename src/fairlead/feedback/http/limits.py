"""Rate limits, in this process: one bucket for each address or person."""

import ipaddress
import threading
import time
from collections.abc import Callable

from fairlead.feedback.http.problems import TooMany

MOST_KEYS = 20_000
"""Buckets that are kept; full ones are forgotten first."""


class Limit:
    """Lets `per_minute` requests of each key in, in bursts of `burst` at most."""

    def __init__(
        self, per_minute: int, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.burst, self.clock = per_minute / 60, float(burst), clock
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, key: str) -> None:
        """Counts a request.

        Raises:
            TooMany: it comes too soon; says when the next one is let in.
        """
        now = self.clock()
        with self._lock:
            left, then = self._left.get(key, (self.burst, now))
            left = min(self.burst, left + (now - then) * self.rate)
            if left < 1:
                raise _too_many((1 - left) / self.rate)
            self._left[key] = (left - 1, now)
            if len(self._left) > MOST_KEYS:
                self._forget(now)

    def _forget(self, now: float) -> None:
        refilled = self.burst / self.rate
        kept = {k: v for k, v in self._left.items() if now - v[1] < refilled}
        newest = sorted(kept, key=lambda k: kept[k][1])[-MOST_KEYS // 2 :]
        self._left = {k: kept[k] for k in newest}


def neighbourhood(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network that one IPv6 user has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False))


def truncated(address: str) -> str:
    """An address without its last part: /24 for IPv4, /48 for IPv6; for the log."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "-"
    width = 24 if found.version == 4 else 48
    return str(ipaddress.ip_network((found, width), strict=False).network_address)


def _too_many(wait_s: float) -> TooMany:
    error = TooMany(
        "too many requests",
        expected=f"the next one in {max(1, round(wait_s))} s",
        remedy="wait a moment; nothing that you typed is lost",
    )
    error.wait_s = wait_s
    return error
