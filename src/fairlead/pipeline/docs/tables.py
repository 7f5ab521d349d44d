"""Settings as Markdown tables, from the fields of pydantic models and their docstrings."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Set
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fairlead.objectives import Objective
from fairlead.pipeline.stages import AnyStage

TYPES = {
    "PositiveInt": "int > 0",
    "NonNegativeInt": "int ≥ 0",
    "PositiveFloat": "float > 0",
    "NonNegativeFloat": "float ≥ 0",
    "None": "null",
}
"""How pydantic's types are called in the tables."""

OBJECTIVE = "AnyObjective"
"""Stands for a choice among objectives, which have a page of their own."""


def own_fields(model: type[BaseModel]) -> Set[str]:
    """Settings to choose; `kind` only says which model it is."""
    return dict.fromkeys(name for name in model.model_fields if name != "kind").keys()


def section(model: type[BaseModel], fields: Set[str]) -> str:
    """A sentence on the model and a table of its settings."""
    lines = [inspect.cleandoc(model.__doc__ or ""), ""]
    if fields:
        lines += ["| setting | type | default | |", "|---|---|---|---|"]
    lines += [_row(model, name) for name in model.model_fields if name in fields]
    return "\n".join(lines) + "\n"


def _row(model: type[BaseModel], name: str) -> str:
    kind, words = _written(model)[name]
    default = _default(model.model_fields[name])
    cells = [f"`{name}`", kind, default, " ".join(words.split())]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value: Any = field.get_default(call_default_factory=True)
    value = [_plain(v) for v in value] if isinstance(value, tuple) else _plain(value)
    return f"`{flow(value)}`"


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("...").strip()


def _plain(value: Any) -> Any:
    """What of a setting's default differs from the defaults of its own model."""
    if isinstance(value, BaseModel):
        kind = {"kind": value.kind} if "kind" in type(value).model_fields else {}  # pyright: ignore
        return kind | value.model_dump(mode="json", exclude_defaults=True)
    return sorted(value) if isinstance(value, frozenset) else value


@cache
def _written(model: type[BaseModel]) -> dict[str, tuple[str, str]]:
    """Type and docstring of each setting as the classes' source has them."""
    found: dict[str, tuple[str, str]] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base.__module__.startswith("fairlead."):
            found |= _written_in(base)
    return found


def _written_in(model: type[BaseModel]) -> dict[str, tuple[str, str]]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, tuple[str, str]] = {}
    for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            kind = _readable(ast.unparse(_spelt_out(statement.annotation, model)))
            found[statement.target.id] = (kind, _docstring(following))
    return found


def _docstring(statement: ast.stmt | None) -> str:
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
        case _:
            return ""


def _spelt_out(annotation: ast.expr, model: type[BaseModel]) -> ast.expr:
    """Named choices of the model's module are replaced by the choices."""
    return _Spelling(vars(sys.modules[model.__module__])).visit(annotation)


class _Spelling(ast.NodeTransformer):
    """Puts the members of named choices in the place of their name."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A named choice as its members."""
        named = self.names.get(node.id)
        if isinstance(named, type) and issubclass(named, Objective):
            return _expression(OBJECTIVE)
        if get_origin(named) is Literal:
            return _expression(f"Literal{list(get_args(named))}")
        members = [part for part in _parts(named) if isinstance(part, type)]
        if not _is_choice(named) or not all(issubclass(m, BaseModel) for m in members):
            return node
        if all(issubclass(m, Objective) for m in members):
            return _expression(OBJECTIVE)
        return _expression(" | ".join(m.__name__ for m in members))

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """The words of a choice are no names."""
        inside = getattr(node.value, "id", "")
        return node if inside == "Literal" else cast(ast.expr, self.generic_visit(node))

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """A name that is written as text, because it is defined further down."""
        return self.visit(_expression(node.value)) if isinstance(node.value, str) else node


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _is_choice(named: Any) -> bool:
    """Whether it is a union with or without a discriminator."""
    inner = get_args(named)[0] if get_origin(named) is Annotated else named
    return get_origin(inner) in (Union, UnionType)


def _readable(annotation: str) -> str:
    """A type in words: choices spelt out, shared settings linked to their table."""
    text = re.sub(r"Annotated\[(\w+), .*?\)\]", r"\1", annotation)
    text = re.sub(r"tuple\[(.+), \.\.\.\]", r"list of \1", text)
    text = re.sub(r"Literal\[(.+?)\]", lambda m: _choices(m[1]), text)
    for name, words in TYPES.items():
        text = re.sub(rf"\b{name}\b", words, text)
    text = re.sub(rf"\b({'|'.join(_linked())})\b", lambda m: _link(m[1]), text)
    return text.replace(OBJECTIVE, "[objective](objectives.md)").replace(" | ", " or ")


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


@cache
def _linked() -> tuple[str, ...]:
    """Names of the settings that docs/recipes.md has a table for."""
    return tuple(model.__name__ for model in nested(stages()))


def stages() -> tuple[type[BaseModel], ...]:
    """The classes of all stages."""
    return get_args(get_args(AnyStage)[0])


def _choices(names: str) -> str:
    return " or ".join(f"`{name.strip().strip(chr(39))}`" for name in names.split(","))


def nested(models: tuple[type[BaseModel], ...]) -> list[type[BaseModel]]:
    """Settings that are tables of their own, in order of first use; objectives have a page."""
    found: dict[type[BaseModel], None] = {}
    waiting = list(models)
    while waiting:
        for own in _settings_in(waiting.pop(0)):
            if own not in found and own not in models and not issubclass(own, Objective):
                found[own] = None
                waiting.append(own)
    return list(found)


def _settings_in(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield part


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)
