"""How tests and solution talk to each other, each in a process of its own.

The tests must believe nothing that the solution says about itself. Only plain values cross: what
arrives is rebuilt from text out of exact built-in types, so no object of the solution can claim to
equal everything. What has no plain form crosses as a handle, a number that its owner knows.
"""

import builtins
import json
import os
from collections.abc import Callable
from typing import Any

Handle = Callable[[Any], list[Any]]
Resolve = Callable[[str, Any], Any]

MESSAGE_BYTES = 16 * 2**20
"""The longest message that is accepted."""
TOO_LONG = "the message is too long"
SCALARS = (type(None), bool, int, float, str)
CONTAINERS: dict[str, type[Any]] = {c.__name__: c for c in (list, tuple, set, frozenset)}


class LinkBroken(BaseException):
    """The other side is gone, or says what is no message.

    No `Exception`, so that a test which expects one cannot take it for the one it expects.
    """


class Link:
    """Messages over two pipes, one per line."""

    def __init__(self, read_from: int, write_to: int) -> None:
        self._incoming = os.fdopen(read_from, "rb")
        self._outgoing = write_to

    def send(self, message: dict[str, Any]) -> None:
        """Sends one message.

        Raises:
            LinkBroken: the other side is gone.
        """
        rest = memoryview(json.dumps(message).encode() + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._outgoing, rest) :]
        except OSError as error:
            raise LinkBroken("gone") from error

    def receive(self) -> dict[str, Any]:
        """Waits for the next message.

        Raises:
            LinkBroken: the other side is gone, or sent too much or no message at all.
        """
        line = self._incoming.readline(MESSAGE_BYTES)
        if not line.endswith(b"\n"):
            raise LinkBroken(TOO_LONG if len(line) >= MESSAGE_BYTES else "gone")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LinkBroken("no message") from error
        if not isinstance(message, dict):
            raise LinkBroken("no message")
        return message


def encode(value: Any, handle: Handle) -> Any:
    """A value as JSON: scalars as they are, all else as [kind, content].

    Subclasses lose what they add, except that what is no kind of value becomes a handle.
    """
    kind = type(value)
    if kind in SCALARS:
        return value
    for name, container in CONTAINERS.items():
        if isinstance(value, container):
            return [name, [encode(part, handle) for part in container(value)]]
    if isinstance(value, dict):
        pairs = dict(value).items()
        return ["dict", [[encode(k, handle), encode(v, handle)] for k, v in pairs]]
    if isinstance(value, (bytes, bytearray)):
        kind = "bytes" if isinstance(value, bytes) else "bytearray"
        return [kind, value.hex()]
    if kind is complex:
        return ["complex", [value.real, value.imag]]
    if kind is range:
        return ["range", [value.start, value.stop, value.step]]
    if kind is type and getattr(builtins, value.__name__, None) is value:
        return ["type", value.__name__]
    return _encode_library(value, handle)


def _encode_library(value: Any, handle: Handle) -> Any:
    where, name = type(value).__module__, type(value).__name__
    if (where, name) == ("fractions", "Fraction"):
        return ["fraction", [value.numerator, value.denominator]]
    if (where, name) == ("decimal", "Decimal"):
        return ["decimal", str(value)]
    if (where, name) == ("collections", "deque"):
        return ["deque", [encode(part, handle) for part in value]]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return handle(value)


def decode(value: Any, resolve: Resolve) -> Any:
    """The value that was encoded; `resolve` finds or makes what a handle stands for.

    Raises:
        LinkBroken: it is nothing that `encode` makes.
    """
    if type(value) in SCALARS:
        return value
    try:
        kind, content = value
        return _decoded(kind, content, resolve)
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise LinkBroken("no value") from error


def _decoded(kind: str, content: Any, resolve: Resolve) -> Any:
    if kind in CONTAINERS:
        return CONTAINERS[kind](decode(part, resolve) for part in content)
    if kind == "dict":
        return {decode(k, resolve): decode(v, resolve) for k, v in content}
    if kind in ("bytes", "bytearray"):
        return getattr(builtins, kind).fromhex(content)
    if kind == "complex":
        return complex(*content)
    if kind == "range":
        return range(*content)
    if kind == "type":
        found = getattr(builtins, content)
        if type(found) is not type:
            raise LinkBroken("no type")
        return found
    if kind == "fraction":
        from fractions import Fraction

        return Fraction(*content)
    if kind == "decimal":
        from decimal import Decimal

        return Decimal(content)
    if kind == "deque":
        from collections import deque

        return deque(decode(part, resolve) for part in content)
    return resolve(kind, content)
