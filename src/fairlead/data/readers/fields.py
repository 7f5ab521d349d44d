"""Typed access to the fields of a row, shared by all formats.

Every function raises `BadRow` with the field, what was expected and what was found.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from fairlead.data.readers.registry import BadRow, Row
from fairlead.records import Message, Prompt, Provenance, Role

SUBSET_FIELDS = ("subset", "source", "scenario", "task", "category", "question_type")
ROLES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "tool": "tool",
    "observation": "tool",
}
SPEAKERS: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
TURN = re.compile(r"\n\n(Human|Assistant):")
SHOWN = 80


def has(*names: str) -> Callable[[Row], bool]:
    """A test for rows that have all the named fields."""
    return lambda row: all(name in row for name in names)


def shown(value: Any) -> str:
    """A value as error messages show it: type and a short excerpt."""
    text = repr(value)
    excerpt = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    return f"{type(value).__name__} {excerpt}"


def first_of(row: Row, *names: str) -> str:
    """The first of the names that the row has."""
    for name in names:
        if name in row:
            return name
    raise BadRow(" or ".join(names), "the field to be there", "fields " + ", ".join(map(str, row)))


def text(row: Row, *names: str) -> str:
    """The string under the first of the names that the row has."""
    name = first_of(row, *names)
    return string(row[name], name)


def string(value: Any, field: str) -> str:
    """A value that must be a string."""
    if not isinstance(value, str):
        raise BadRow(field, "a string", shown(value))
    return value


def items(value: Any, field: str) -> Sequence[Any]:
    """A value that must be a list with something in it."""
    if not isinstance(value, (list, tuple)) or not value:
        raise BadRow(field, "a list with at least one entry", shown(value))
    return value


def number(value: Any, field: str) -> float:
    """A value that must be a number or true/false."""
    if not isinstance(value, (int, float)) or value != value:
        raise BadRow(field, "a number or true/false", shown(value))
    return float(value)


def whole(value: Any, field: str, low: int, high: int) -> int:
    """A value that must be a whole number from `low` to `high`, both included."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadRow(field, f"a whole number from {low} to {high}", shown(value))
    return value


def message(value: Any, field: str) -> Message:
    """One turn, as `{role, content}` or ShareGPT's `{from, value}`."""
    if not isinstance(value, dict):
        raise BadRow(field, "a message with role and content", shown(value))
    role_field = f"{field}.{'role' if 'role' in value else 'from'}"
    role = value.get("role", value.get("from"))
    if not isinstance(role, str) or role not in ROLES:
        raise BadRow(role_field, "one of " + ", ".join(ROLES), shown(role))
    content = value.get("content", value.get("value"))
    return Message(role=ROLES[role], content=string(content, f"{field}.content"))


def messages(value: Any, field: str) -> tuple[Message, ...]:
    """A list of turns."""
    return tuple(message(m, f"{field}[{i}]") for i, m in enumerate(items(value, field)))


def transcript(value: str, field: str) -> tuple[Message, ...]:
    r"""The turns of a `"\n\nHuman: ...\n\nAssistant: ..."` text, without surrounding blanks.

    Neighbouring turns of one speaker become one turn: in HH a reply sometimes writes the label
    "Assistant:" itself, which makes one reply look like two.
    """
    before, *parts = TURN.split(value)
    if before.strip() or not parts:
        raise BadRow(field, r"a transcript that opens with '\n\nHuman:'", shown(value))
    turns: list[Message] = []
    for speaker, content in zip(parts[::2], parts[1::2], strict=True):
        turn = Message(role=SPEAKERS[speaker], content=content.strip())
        if turns and turns[-1].role == turn.role:
            joined = f"{turns.pop().content}\n\n{turn.content}".strip()
            turn = Message(role=turn.role, content=joined)
        turns.append(turn)
    return tuple(turns)


def conversation(value: Any, field: str) -> tuple[Message, ...]:
    """A prompt's turns from a plain text, a transcript, or a list of messages."""
    if isinstance(value, list):
        return messages(value, field)
    if not isinstance(value, str):
        raise BadRow(field, "a string or a list of messages", shown(value))
    if not value.startswith("\n\nHuman:"):
        return (Message(role="user", content=value),)
    turns = transcript(value, field)
    return turns[:-1] if turns[-1].role == "assistant" and not turns[-1].content else turns


def make_prompt(turns: Sequence[Message], row: Row, at: Provenance, field: str) -> Prompt:
    """A prompt that has words and waits for the assistant."""
    if not turns or not turns[-1].content.strip():
        raise BadRow(field, "a prompt with words", "an empty prompt")
    if turns[-1].role == "assistant":
        raise BadRow(field, "a prompt that ends before the assistant speaks", "an assistant turn")
    return Prompt(messages=tuple(turns), subset=subset_of(row), provenance=at)


def prompt(row: Row, at: Provenance, *names: str) -> Prompt:
    """The prompt under the first of the names; Alpaca's `input` is added to an `instruction`."""
    name = first_of(row, *names)
    turns = conversation(row[name], name)
    extra = row.get("input")
    if name == "instruction" and isinstance(extra, str) and extra:
        turns = (Message(role="user", content=f"{turns[-1].content}\n\n{extra}"),)
    return make_prompt(turns, row, at, name)


def reply(value: Any, field: str) -> str:
    """One assistant reply: a string, a message, or a list with one message."""
    if isinstance(value, str):
        return value
    if not isinstance(value, (list, dict)):
        raise BadRow(field, "a string or one assistant message", shown(value))
    turns = messages(value, field) if isinstance(value, list) else (message(value, field),)
    if len(turns) != 1 or turns[0].role != "assistant":
        roles = ", ".join(turn.role for turn in turns)
        raise BadRow(field, "a string or one assistant message", f"turns of {roles}")
    return turns[0].content


def subset_of(row: Row) -> str:
    """The part of the data a row belongs to, where the source says so."""
    found = (row.get(name) for name in SUBSET_FIELDS)
    return next((value for value in found if isinstance(value, str)), "")
