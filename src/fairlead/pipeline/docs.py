"""Writes docs/recipes.md from the stages themselves: `python -m fairlead.pipeline.docs [FILE]`."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fairlead.core.files import write_text
from fairlead.pipeline.recipe import Recipe
from fairlead.pipeline.stages import AnyStage

PAGE = Path("docs/recipes.md")

TYPES = {
    "PositiveInt": "int > 0",
    "NonNegativeInt": "int ≥ 0",
    "PositiveFloat": "float > 0",
    "NonNegativeFloat": "float ≥ 0",
    "None": "null",
}
"""How pydantic's types are called in the tables."""

INTRODUCTION = """\
# Recipes

A recipe is a YAML file: a `name`, a `seed` and a list of `stages`, run in order.
`fairlead run RECIPE` runs it, `--dry-run` prints the plan and writes nothing, and `--out` names
the run folder (`runs/NAME` if not given). A key that is not listed here is refused. In Python the
same is `Recipe(name=..., stages=(SFTStage(...), ...))` and `run_recipe`.

```yaml
name: my-run
let:
  data: {path: null}
  length: 512
stages:
  - {name: data, kind: records, path: "${data.path}"}
  - {name: sft, kind: sft, model: some/model, data: "@data/train.jsonl", max_length: "${length}"}
```

**`@stage` and `@stage/file`** refer to an earlier stage. Where a model is asked for, `@sft` is the
model that the stage `sft` trained; where records are asked for, `@data/train.jsonl` is a file that
the stage `data` wrote. Anything else is a path or a hub name; a model may also be
`package:NAME/FOLDER`, a folder inside an installed Python package.

**`let`** holds values that stages take up as `${a.b}`. What is `null` there is for the command
line to give.

**Overrides** are `key=value` after the recipe, with values in YAML. A key is `seed`, `name`, a
value of `let`, or a setting of a stage; a key that the recipe or the stage does not have is
refused:

```bash
fairlead run my-run.yaml data.path=comparisons.jsonl length=256 sft.train.learning_rate=1.0e-5
```

**Running again** does only what is needed: a stage whose settings and inputs are unchanged is kept,
the others and what depends on them run. After an interruption `--resume` goes on from the newest
checkpoint, bit for bit. `fairlead verify RUN` checks every file against its recorded hash.
"""


def page() -> str:
    """The page as Markdown: every stage with its settings, then the settings that they share."""
    stages = get_args(get_args(AnyStage)[0])
    parts = [INTRODUCTION, "## The recipe\n", _section(Recipe, _own_fields(Recipe))]
    for stage in stages:
        kind = stage.model_fields["kind"].default
        parts += [f"## `kind: {kind}`\n", _section(stage, _own_fields(stage) - {"name"})]
    parts.append("# Settings within stages\n")
    for model in _nested(stages):
        parts += [f"## {model.__name__}\n", _section(model, _own_fields(model))]
    return "\n".join(parts)


def main(target: Path = PAGE) -> None:
    """Writes the page."""
    write_text(target, page())


def _own_fields(model: type[BaseModel]) -> Set[str]:
    """Settings to choose; `kind` only says which model it is."""
    return dict.fromkeys(name for name in model.model_fields if name != "kind").keys()


def _section(model: type[BaseModel], fields: Set[str]) -> str:
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
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, tuple):
        value = [
            v.model_dump(mode="json", exclude_defaults=True) if isinstance(v, BaseModel) else v
            for v in value
        ]
    flow = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False)
    return f"`{flow.removesuffix(chr(10)).removesuffix('...').strip()}`"


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
    named = getattr(sys.modules[model.__module__], getattr(annotation, "id", ""), None)
    if get_origin(named) is not Literal:
        return annotation
    return ast.parse(f"Literal{list(get_args(named))}", mode="eval").body


def _readable(annotation: str) -> str:
    """A type in words: choices spelt out, shared settings linked to their table."""
    text = re.sub(r"Annotated\[(\w+), .*?\)\]", r"\1", annotation)
    text = re.sub(r"tuple\[(.+), \.\.\.\]", r"list of \1", text)
    text = re.sub(r"Literal\[(.+?)\]", lambda m: _choices(m[1]), text)
    for name, words in TYPES.items():
        text = re.sub(rf"\b{name}\b", words, text)
    for model in _nested(get_args(get_args(AnyStage)[0])):
        link = f"[{model.__name__}](#{model.__name__.lower()})"
        text = re.sub(rf"\b{model.__name__}\b", link, text)
    return text.replace("AnyStage", "stage").replace(" | ", " or ")


def _choices(names: str) -> str:
    return " or ".join(f"`{name.strip().strip(chr(39))}`" for name in names.split(","))


def _nested(models: tuple[type[BaseModel], ...]) -> list[type[BaseModel]]:
    """Settings that are tables of their own, in order of first use, each once."""
    found: dict[type[BaseModel], None] = {}
    waiting = list(models)
    while waiting:
        for own in _settings_in(waiting.pop(0)):
            if own not in found:
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


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
