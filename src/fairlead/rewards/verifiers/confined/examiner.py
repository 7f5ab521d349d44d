"""The process of the tests: runs them against a solution that lives in another process."""

import ast
import builtins
import importlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, cast

from .exchange import Link, LinkBroken, decode, encode


class SolutionError(Exception):
    """The solution raised what is no built-in exception."""


class Remote:
    """An object of the solution, as tests see it.

    What it says of itself is the solution's word, so it equals no plain value, and it has no
    arithmetic and no order: those would show the solution what the tests expect and let it agree.
    """

    def __init__(self, solution: "Solution", number: int) -> None:
        object.__setattr__(self, "_held", (solution, number))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Has the solution call it."""
        return _ask(self, "call", *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _ask(self, "get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        _ask(self, "set", name, value)

    def __getitem__(self, key: Any) -> Any:
        return _ask(self, "item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _ask(self, "set_item", key, value)

    def __len__(self) -> int:
        return _plain(_ask(self, "length"), int)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, value: object) -> bool:
        raise TypeError("tests cannot ask an object of the solution what it contains")

    def __iter__(self) -> Iterator[Any]:
        return _ask(self, "iterate")

    def __next__(self) -> Any:
        return _ask(self, "next")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Remote):
            return False
        return self is other or _ask(self, "equal", other) is True

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, Remote) and _ask(self, "is_a", value) is True

    def __str__(self) -> str:
        return _plain(_ask(self, "text"), str)

    def __repr__(self) -> str:
        return _plain(_ask(self, "shown"), str)


def _plain(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise TypeError(f"the solution gave {type(value).__name__} for {kind.__name__}")
    return value


def _ask(remote: Remote, do: str, *args: Any, **kwargs: Any) -> Any:
    solution, number = object.__getattribute__(remote, "_held")
    return solution.ask(do, number, args, kwargs)


class Solution:
    """The other process."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.broken: LinkBroken | None = None
        self._remotes: dict[int, Remote] = {}
        self._callbacks: list[Any] = []
        self._errors: dict[str, type[Exception]] = {}

    def ask(self, do: str, on: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Has something done to an object of the solution.

        Raises:
            Exception: what the solution raised, where that is built in, otherwise `SolutionError`.
            LinkBroken: the solution's process is gone or talks nonsense.
        """
        try:
            sent = [encode(a, self._handle) for a in args]
            named = {k: encode(v, self._handle) for k, v in kwargs.items()}
            self.link.send({"do": do, "on": on, "args": sent, "kwargs": named})
            answer = self._answered()
            for index, value in answer.get("changed", ()):
                _update(args[index], self.decoded(value))
            if "error" in answer:
                raise self.error(answer)
            return self.decoded(answer.get("value"))
        except LinkBroken as error:
            self.broken = error
            raise

    def decoded(self, value: Any) -> Any:
        """A value that the solution sent."""
        return decode(value, self._resolve)

    def error(self, answer: dict[str, Any]) -> Exception:
        """The exception that an answer tells of."""
        names = [str(name) for name in answer["classes"]]
        made = self.exception(names)
        try:  # Without its __init__, which for some wants more than a text.
            return made.__new__(made, str(answer["error"]))
        except TypeError:
            return SolutionError(str(answer["error"]))

    def exception(self, names: list[str]) -> type[Exception]:
        """A class for what the solution raises: built in, or made here under the same name."""
        made: type[Exception] = SolutionError
        own: list[str] = []
        for name in names:
            known = getattr(builtins, name, None)
            if isinstance(known, type) and issubclass(known, Exception):
                made = known
                break
            own.append(name)
        for name in reversed(own):
            if name not in self._errors:
                self._errors[name] = cast(type[Exception], type(name, (made,), {}))
            made = self._errors[name]
        return made

    def _answered(self) -> dict[str, Any]:
        while True:
            message = self.link.receive()
            if "callback" not in message:
                return message
            self.link.send(self._called_back(message))

    def _called_back(self, message: dict[str, Any]) -> dict[str, Any]:
        function = self._resolve("callback", message["callback"])
        try:
            result = function(*(self.decoded(a) for a in message["args"]))
            return {"value": encode(result, self._handle)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _handle(self, value: Any) -> list[Any]:
        if isinstance(value, Remote):
            return ["handle", object.__getattribute__(value, "_held")[1]]
        if callable(value):
            self._callbacks.append(value)
            return ["callback", len(self._callbacks) - 1]
        raise TypeError(f"tests can hand over plain values and functions, no {type(value)}")

    def _resolve(self, kind: str, content: Any) -> Any:
        if kind == "handle" and type(content) is int:
            return self._remotes.setdefault(content, Remote(self, content))
        if kind == "callback" and type(content) is int and 0 <= content < len(self._callbacks):
            return self._callbacks[content]
        if kind == "exception":
            return self.exception(list(map(str, cast(list[Any], content))))
        raise LinkBroken("no value")


def _update(argument: Any, new: Any) -> None:
    if type(new) is not type(argument):
        raise LinkBroken("a changed argument is of another type")
    if isinstance(argument, (list, bytearray)):
        argument[:] = new
    elif isinstance(argument, (dict, set)):
        argument.clear()
        argument.update(new)


def is_test(statement: ast.stmt) -> bool:
    """Whether a statement of the tests' top level is a test: an assertion or a bare call."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call)
    return isinstance(statement, ast.Assert)


def test_functions(tree: ast.Module) -> list[str]:
    """Names of the functions of the top level that are tests."""
    return [
        s.name for s in tree.body if isinstance(s, ast.FunctionDef) and s.name.startswith("test")
    ]


def number_of_tests(tree: ast.Module) -> int:
    """How many tests a source has."""
    return sum(map(is_test, tree.body)) + len(test_functions(tree))


def namespace(tree: ast.Module, offered: dict[str, Any], builtin: set[str]) -> dict[str, Any]:
    """The names tests see: of the solution, except where it would put itself before Python.

    A library module that tests use by name, as in `math.isclose`, is the library's own even where
    the tests do not import it; a solution cannot take the place of a built-in unless `builtin`
    names it.
    """
    names = {
        name: value
        for name, value in offered.items()
        if not name.startswith("_") and (name in builtin or not hasattr(builtins, name))
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = node.value.id
            if module in sys.stdlib_module_names:
                names[module] = importlib.import_module(module)
    return {"__name__": "tests", **names}


def main(tests: str, builtin: list[str], read_from: int, write_to: int) -> None:
    """Runs all tests and reports each on standard output as a line of JSON."""
    sys.set_int_max_str_digits(0)
    report = os.fdopen(os.dup(1), "w", buffering=1)
    sys.stdout = sys.stderr = _Nowhere()
    solution = Solution(Link(read_from, write_to))
    tree = ast.parse(tests)
    try:
        first = solution.link.receive()
        if "error" in first:
            raise solution.error(first)
        offered = {str(k): solution.decoded(v) for k, v in first["exports"].items()}
    except BaseException as error:
        _tell(report, error)
        return
    for error in _outcomes(tree, namespace(tree, offered, set(builtin)), solution):
        _tell(report, error)


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def _outcomes(
    tree: ast.Module, names: dict[str, Any], solution: Solution
) -> Iterator[BaseException | None]:
    """What each test raised, in order; ends early where the tests cannot go on."""
    for statement in tree.body:
        code = compile(ast.Module([statement], []), "tests", "exec", dont_inherit=True)
        error = _raised(lambda code=code: exec(code, names))
        if is_test(statement) or error is not None:
            yield solution.broken or error
        if solution.broken or (error is not None and not is_test(statement)):
            return
    for name in test_functions(tree):
        error = _raised(names[name])
        yield solution.broken or error
        if solution.broken:
            return


def _raised(run: Any) -> BaseException | None:
    try:
        run()
    except BaseException as error:
        return error
    return None


def _tell(report: Any, error: BaseException | None) -> None:
    told = "" if error is None else type(error).__name__
    try:  # The error may hold an object of the solution.
        text = "" if error is None else str(error)[:500]
    except BaseException:
        text = ""
    report.write(json.dumps({"passed": error is None, "error": told, "text": text}) + "\n")
