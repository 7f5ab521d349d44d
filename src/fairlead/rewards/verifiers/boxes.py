"""Finds answers in mathematical text: boxed expressions and what follows a marker."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

TOKEN = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.S)
INLINE = re.compile(r"\$\$?(.+?)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.S)


@dataclass(frozen=True)
class Found:
    """An expression that a text gives as its answer."""

    position: int
    content: str | None
    """None where a box is opened and never closed."""


def boxed(text: str) -> list[Found]:
    """All boxed expressions, braces balanced, in the order in which they open."""
    opened: list[tuple[int, int] | None] = []
    found: list[Found] = []
    for token in TOKEN.finditer(text):
        match token.group()[-1], len(token.group()):
            case "{", 1:
                opened.append(None)
            case "{", length if length > 2:
                opened.append((token.start(), token.end()))
            case "}", 1:
                start = opened.pop() if opened else None
                if start:
                    found.append(Found(start[0], text[start[1] : token.start()].strip()))
            case _:
                pass
    found += [Found(start[0], None) for start in opened if start]
    return sorted(found, key=lambda f: f.position)


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
