"""Reads constitutions from YAML and says everything that is wrong with one, line by line."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from fairlead.constitution.principles import Constitution, Example, Principle
from fairlead.core.errors import ConfigError

ALIKE = 0.9
"""Similarity of two texts from which a reader is warned."""

PACKAGED = ("default", "assistant")
"""Constitutions that come with the package: one for use, one for the assistant testbed."""

REQUESTS = ("text", "critique_request", "revision_request", "comparison_question")
"""Fields in which two principles must differ."""


@dataclass(frozen=True)
class Fault:
    """Something wrong with a constitution."""

    line: int
    """Counted from 1."""
    where: str
    """Principle and field."""
    what: str
    remedy: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"line {self.line}, {self.where}: {self.severity}: {self.what}; {self.remedy}"


def load_constitution(path: str | Path) -> Constitution:
    """Reads a constitution from a file, or one of the `PACKAGED` by its name.

    Raises:
        ConfigError: there is no such file, or `lint` finds errors in it.
    """
    text = constitution_text(path)
    errors = [fault for fault in lint(text) if fault.severity == "error"]
    if errors:
        raise ConfigError(
            f"the constitution has {len(errors)} {'errors' if len(errors) > 1 else 'error'}",
            where=str(path),
            got="; ".join(map(str, errors)),
            remedy="mend them; `fairlead constitution lint` lists them line by line",
        )
    return Constitution.model_validate(yaml.safe_load(text))


def constitution_text(path: str | Path) -> str:
    """The YAML of a constitution.

    Raises:
        ConfigError: there is no such file, or it is not text.
    """
    try:
        if str(path) in PACKAGED:
            return files("fairlead.constitution").joinpath(f"{path}.yaml").read_text("utf-8")
        return Path(path).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "the constitution cannot be read",
            where=str(path),
            expected=f"a YAML file, or one of {', '.join(PACKAGED)}",
            got=str(error),
            remedy="check the path",
        ) from error


def lint(text: str) -> list[Fault]:
    """Everything that is wrong with a constitution, in the order of its lines.

    Errors make it unusable: what is no YAML, unknown or missing fields, empty requests, keys and
    principles that occur twice. Warnings are worth a look.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error)
        return [Fault(line, "file", f"not YAML: {problem}", "mend the syntax")]
    if not isinstance(root, yaml.MappingNode):
        what = "not a mapping with name, version and principles"
        return [Fault(1, "file", what, "start from `fairlead constitution show default --yaml`")]
    faults = [*_repeated_keys(root), *_malformed(root, text)]
    if not faults:
        principles = Constitution.model_validate(yaml.safe_load(text)).principles
        faults = [*_repeated(principles, root), *_worth_a_look(principles, root)]
    return sorted(faults, key=lambda fault: (fault.line, fault.where))


def _repeated_keys(node: yaml.Node) -> Iterator[Fault]:
    """Keys that occur twice in a mapping, of which YAML silently takes the last."""
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _repeated_keys(child)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                yield Fault(line, str(key.value), "this key occurs twice", "remove one of the two")
            seen.add(key.value)
            yield from _repeated_keys(value)


def _malformed(root: yaml.MappingNode, text: str) -> Iterator[Fault]:
    try:
        Constitution.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        for found in error.errors():
            yield _in_words(root, found)


def _in_words(root: yaml.MappingNode, found: Any) -> Fault:
    """A finding of pydantic for a person."""
    loc: tuple[str | int, ...] = found["loc"]
    where, line, field = _where(root, loc), _line(root, loc), str(loc[-1]) if loc else "file"
    match found["type"]:
        case "extra_forbidden":
            known = _fields(loc)
            close = get_close_matches(field, known, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            return Fault(line, where, f"unknown field {field}", remedy)
        case "missing":
            return Fault(line, where, f"{field} is missing", f"add {field}")
        case "string_too_short":
            return Fault(line, where, f"{field} is empty", f"write a {field}, or remove the entry")
        case "string_pattern_mismatch":
            remedy = "use lower-case letters, digits, - and _, a letter first"
            return Fault(line, where, f"{field} {found['input']!r} is no short name", remedy)
        case _:
            got = f"{found['msg'].lower()}, got {str(found['input'])[:60]!r}"
            return Fault(line, where, f"{field}: {got}", "correct the value")


def _fields(loc: tuple[str | int, ...]) -> list[str]:
    """Fields that exist where an unknown one was found."""
    kinds = {"principles": Principle, "examples": Example}
    kind = kinds.get(str(loc[0]), Constitution) if len(loc) > 1 else Constitution
    return list(kind.model_fields)


def _where(root: yaml.MappingNode, loc: tuple[str | int, ...]) -> str:
    """A place by the principle's id, or by its number where it has none."""
    if len(loc) < 2 or loc[0] != "principles":
        return ".".join(map(str, loc)) or "file"
    entry = _node(root, loc[:2])
    named = _node(root, (*loc[:2], "id"))
    known = isinstance(named, yaml.ScalarNode) and named is not entry
    name = named.value if known else f"principle {int(loc[1]) + 1}"
    return ".".join([str(name), *map(str, loc[2:])])


def _line(root: yaml.Node, loc: tuple[str | int, ...]) -> int:
    return _node(root, loc).start_mark.line + 1


def _node(root: yaml.Node, loc: tuple[str | int, ...]) -> yaml.Node:
    """The node at a place, or the last one on the way there that exists."""
    node = root
    for part in loc:
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            child = next((v for k, v in node.value if k.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            child = node.value[part] if part < len(node.value) else None
        if child is None:
            return node
        node = child
    return node


def _repeated(principles: tuple[Principle, ...], root: yaml.MappingNode) -> Iterator[Fault]:
    """Principles that have an id or words in common."""
    for field in ("id", *REQUESTS):
        owners: dict[str, list[int]] = defaultdict(list)
        for number, principle in enumerate(principles):
            owners[" ".join(str(getattr(principle, field)).lower().split())].append(number)
        for first, *others in owners.values():
            for number in others:
                line = _line(root, ("principles", number, field))
                other = f"principle {first + 1} ({principles[first].id})"
                what = f"the same {field} as {other}"
                yield Fault(line, principles[number].id, what, "change or remove one of the two")


def _worth_a_look(principles: tuple[Principle, ...], root: yaml.MappingNode) -> Iterator[Fault]:
    for number, principle in enumerate(principles):
        if not principle.rationale.strip():
            line = _line(root, ("principles", number))
            remedy = "say why the principle is there"
            yield Fault(line, principle.id, "no rationale", remedy, "warning")
    for (_, a), (number, b) in combinations(enumerate(principles), 2):
        alike = SequenceMatcher(None, a.text.lower(), b.text.lower()).ratio()
        if ALIKE <= alike < 1:
            line = _line(root, ("principles", number, "text"))
            what = f"its text is much like that of {a.id}"
            yield Fault(line, b.id, what, "check that both are needed", "warning")
