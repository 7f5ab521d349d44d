"""Finds answers in mathematical text: boxed expressions and what follows a marker."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

TOKEN = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.S)
INNER = re.compile(r"\\(?:boxed|fbox)\s*\{")
# Bounded: a line of nothing but opened formulas must not take its length squared.
INLINE = re.compile(r"\$\$?(.{1,1000}?)\$\$?|\\\((.{1,1000}?)\\\)|\\\[(.{1,1000}?)\\\]")


@dataclass(frozen=True)
class Found:
    """An expression that a text gives as its answer."""

    position: int
    content: str | None
    """None where a box is opened and never closed."""


def boxed(text: str) -> list[Found]:
    """Boxed expressions that are in no other box, braces balanced, in their order."""
    found: list[Found] = []
    depth, start, content = 0, 0, -1
    for token in TOKEN.finditer(text):
        box = len(token.group()) > 2
        if content < 0:
            if box:
                depth, start, content = 1, token.start(), token.end()
        elif box or token.group() == "{":
            depth += 1
        elif token.group() == "}":
            depth -= 1
            if not depth:
                found.append(Found(start, INNER.sub("{", text[content : token.start()]).strip()))
                content = -1
    return found if content < 0 else [*found, Found(start, None)]


def marked(text: str, markers: Sequence[str]) -> list[Found]:
    """What follows each marker up to the end of its line; its formula alone where it has one."""
    if not markers:
        return []
    pattern = "|".join(map(re.escape, markers))
    found: list[Found] = []
    for match in re.finditer(rf"(?:{pattern})[ \t]*:?([^\n]*)", text, re.I):
        content = match.group(1).strip().rstrip(".").strip("*").strip()
        inline = INLINE.search(content)
        if inline:
            content = next(part for part in inline.groups() if part is not None)
        found.append(Found(match.start(), content.strip()))
    return found


def answers(text: str, markers: Sequence[str]) -> list[Found]:
    """All that a text gives as its answer, in order; a marker whose line has a box is that box."""
    boxes = boxed(text)
    lines = [m for m in marked(text, markers) if "\\boxed" not in (m.content or "")]
    return sorted([*boxes, *lines], key=lambda f: f.position)
