"""The process of the untrusted code: runs it, then does what the tests ask of it."""

import operator
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .exchange import Link, LinkBroken, decode, encode

MUTABLE = (list, dict, set, bytearray)
OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda function, *args, **kwargs: function(*args, **kwargs),
    "get": getattr,
    "set": setattr,
    "item": operator.getitem,
    "set_item": operator.setitem,
    "length": len,
    "iterate": iter,
    "next": next,
    "equal": operator.eq,
    "text": str,
    "shown": repr,
    "is_a": lambda kind, value: isinstance(value, kind),
}


class Callback:
    """A function of the tests, handed to the solution."""

    def __init__(self, owner: "Owner", number: int) -> None:
        self.owner, self.number = owner, number

    def __call__(self, *args: Any) -> Any:
        """Has the tests call it."""
        sent = [encode(a, self.owner.handle) for a in args]
        self.owner.link.send({"callback": self.number, "args": sent})
        answer = self.owner.answered()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return decode(answer["value"], self.owner.resolve)


class Owner:
    """Keeps the objects that tests hold handles of."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}

    def handle(self, value: Any) -> list[Any]:
        """The handle of an object; the same object always has the same."""
        if isinstance(value, Callback):
            return ["callback", value.number]
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        return ["handle", self._numbers[id(value)]]

    def resolve(self, kind: str, number: Any) -> Any:
        """What a handle of either side stands for."""
        return Callback(self, number) if kind == "callback" else self._objects[number]

    def answered(self) -> dict[str, Any]:
        """The next message that is no request; requests before it are served."""
        while True:
            message = self.link.receive()
            if "do" not in message:
                return message
            self.link.send(self._done(message))

    def _done(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            args = [decode(a, self.resolve) for a in message["args"]]
            kwargs = {k: decode(v, self.resolve) for k, v in message["kwargs"].items()}
            before = [repr(a) if isinstance(a, MUTABLE) else "" for a in args]
            target = self._objects[message["on"]]
            result = OPERATIONS[message["do"]](target, *args, **kwargs)
            changed = [
                [i, encode(a, self.handle)]
                for i, (a, b) in enumerate(zip(args, before, strict=True))
                if b and b != repr(a)
            ]
            return {"value": encode(result, self.handle), "changed": changed}
        except LinkBroken:
            raise
        except BaseException as error:
            return told(error)


def told(error: BaseException) -> dict[str, Any]:
    """An exception as a message: names of its classes, nearest first, and its text."""
    names = [c.__name__ for c in type(error).__mro__]
    try:
        text = str(error)[:500]
    except BaseException:
        text = ""
    return {"error": text, "classes": names}


def exports(namespace: dict[str, Any], owner: Owner) -> dict[str, Any]:
    """What tests may use of a solution: its public names that are no modules."""
    found: dict[str, Any] = {}
    for name, value in list(namespace.items()):
        if name.startswith("_") or isinstance(value, ModuleType):
            continue
        if isinstance(value, type) and issubclass(value, BaseException):
            found[name] = ["exception", [c.__name__ for c in value.__mro__]]
        else:
            found[name] = encode(value, owner.handle)
    return found


def main(source: str, read_from: int, write_to: int) -> None:
    """Runs the solution, tells the tests what it offers, and serves them until they end."""
    sys.set_int_max_str_digits(0)
    owner = Owner(Link(read_from, write_to))
    namespace: dict[str, Any] = {"__name__": "solution"}
    try:
        exec(compile(source, "solution", "exec", dont_inherit=True), namespace)
        offered = {"exports": exports(namespace, owner)}
    except BaseException as error:
        offered = told(error)
    try:
        owner.link.send(offered)
        owner.answered()
    except LinkBroken:
        return
