"""Checks the form of a reply: JSON that fits a schema, a pattern, declared sections."""

import functools
import json
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fairlead.core.errors import DataError
from fairlead.records import Problem
from fairlead.rewards.verifiers.base import FENCED, NO_ANSWER, Checked, Checker
from fairlead.rewards.verifiers.workers import Pool, require_package

MEMORY_BYTES = 2**30


class JsonChecker(Checker):
    """Checks that a reply is JSON that fits a schema.

    The last fenced block counts, or the whole reply where none is fenced. NaN and Infinity are no
    JSON.
    """

    kind: Literal["json"] = "json"
    accepts: dict[str, Any] | None = None
    """The JSON Schema; None takes the schema from `Problem.answer`, as JSON."""
    seconds: float = Field(default=5.0, gt=0)
    """Time for one validation; what takes longer scores 0, with reason `timeout`."""

    def check(self, problem: Problem, text: str) -> Checked:
        """Checks a reply.

        Raises:
            ConfigError: jsonschema is not installed.
            DataError: the schema is none.
        """
        require_package("jsonschema", "the JSON checker needs jsonschema")
        schema = problem.answer if self.accepts is None else json.dumps(self.accepts)
        read = _schema(schema)
        inside = self.answer_in(text)
        blocks = FENCED.findall(inside or "")
        parsed = blocks[-1][1].strip() if blocks else (inside or "").strip()
        if not parsed:
            return NO_ANSWER
        answer = _pool().ask({"schema": read, "text": parsed}, self.seconds)
        return _checked(answer, parsed)


class FormatChecker(Checker):
    """Checks that a reply has a declared form: sections in their order, or a pattern."""

    kind: Literal["format"] = "format"
    sections: tuple[str, ...] = ()
    """Names of tags: the reply is `<a>…</a><b>…</b>`, each once, none empty, and nothing else."""
    pattern: str = ""
    """Regular expression that the whole reply must match; a dot also stands for a line break."""
    seconds: float = Field(default=5.0, gt=0)
    """Time for one match; what takes longer scores 0, with reason `timeout`."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if bool(self.sections) == bool(self.pattern):
            raise ValueError("give either sections or a pattern")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        return self

    def check(self, problem: Problem, text: str) -> Checked:
        """Checks a reply."""
        if not text.strip():
            return NO_ANSWER
        if self.sections:
            fault = section_fault(text, self.sections)
            score = 0.0 if fault else 1.0
            return Checked(score, text, "malformed" if fault else "correct", fault)
        answer = _pool().ask({"pattern": self.pattern, "text": text}, self.seconds)
        return _checked(answer, text)


def section_fault(text: str, sections: tuple[str, ...]) -> str:
    """What is wrong with the sections of a text; empty where nothing is."""
    rest = text.strip()
    for name in sections:
        opening, closing = f"<{name}>", f"</{name}>"
        if not rest.startswith(opening):
            return f"no {opening} where it must begin"
        content, ended, rest = rest[len(opening) :].partition(closing)
        if not ended:
            return f"no {closing}"
        if not content.strip():
            return f"nothing in {opening}"
        if any(f"<{other}>" in content or f"</{other}>" in content for other in sections):
            return f"a section inside {opening}"
        rest = rest.strip()
    return "words after the last section" if rest else ""


@functools.cache
def _pool() -> Pool:
    return Pool(Path(__file__).with_name("structure_worker.py"), MEMORY_BYTES)


@functools.lru_cache(maxsize=1024)
def _schema(text: str) -> dict[str, Any]:
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    try:
        schema = json.loads(text)
        validator_for(schema).check_schema(schema)
    except (ValueError, SchemaError) as error:
        raise DataError(
            "this is no JSON Schema",
            got=str(error).splitlines()[0],
            remedy="put the schema in Problem.answer as JSON, or in the checker's `accepts`",
        ) from error
    return schema


def _checked(answer: dict[str, Any] | str, parsed: str) -> Checked:
    if isinstance(answer, str):
        return Checked(0.0, parsed, answer)
    if answer["reason"]:
        return Checked(0.0, parsed, answer["reason"], answer["detail"])
    return Checked(1.0, parsed, "correct")
