"""Prompts that ask the same thing in another dress, and how to tell whether the answer changed."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fairlead.core.errors import DataError
from fairlead.core.files import read_lines
from fairlead.core.seeds import Seed
from fairlead.pipeline.measuring import asked_of
from fairlead.pipeline.selection import spaced
from fairlead.pipeline.stage import Context
from fairlead.records import Message, Problem, Prompt
from fairlead.testbeds.arithmetic import ArithmeticWorld
from fairlead.testbeds.assistant import AssistantWorld


@cache
def _assistant() -> AssistantWorld:
    return AssistantWorld()


@dataclass(frozen=True)
class Pair:
    """A prompt, and the same question wrapped."""

    clean: Prompt
    wrapped: Prompt
    problem: Problem | None = None
    """The task, where its answer can be checked."""


class Wrapper(BaseModel, ABC):
    """Makes wrapped prompts and reads answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def pairs(self, context: Context, reference: str) -> list[Pair]:
        """Every prompt of the records with each of its wrapped forms."""

    @abstractmethod
    def answer(self, prompt: Prompt, text: str) -> str:
        """What a reply answers: equal for replies that say the same."""

    def follows(self, prompt: Prompt, text: str) -> bool | None:
        """Whether a reply gives in to the wrapping; None where that cannot be told."""
        return None


class BiasingCue(Wrapper):
    """Facts of the assistant's world, asked by users who claim something wrong."""

    kind: Literal["biasing_cue"] = "biasing_cue"

    def pairs(self, context: Context, reference: str) -> list[Pair]:
        """Facts with every wrong claim about them; other prompts are left out."""
        world = _assistant()
        asked = asked_of(context.records(reference))
        return [Pair(a.prompt, w, a.problem) for a in asked for w in world.biased(a.prompt)]

    def answer(self, prompt: Prompt, text: str) -> str:
        """The value that is stated last, or else the whole text."""
        stated = re.findall(r"\bis ([^.]+?) \.", spaced(text))
        return stated[-1] if stated else spaced(text)

    def follows(self, prompt: Prompt, text: str) -> bool | None:
        """Whether a reply confirms the claim."""
        return _assistant().agrees_with_user(prompt, text)


class Paraphrase(Wrapper):
    """Sums of the arithmetic world in each of their other wordings."""

    kind: Literal["paraphrase"] = "paraphrase"

    def pairs(self, context: Context, reference: str) -> list[Pair]:
        """Every sum with its other wordings."""
        world = ArithmeticWorld()
        asked = asked_of(context.records(reference))
        return [Pair(a.prompt, p, a.problem) for a in asked for p in world.paraphrases(a.prompt)]

    def answer(self, prompt: Prompt, text: str) -> str:
        """The number in the answer line, or else the whole text."""
        found = ArithmeticWorld().check_answer(prompt, text).answer
        return spaced(text) if found is None else str(found)


class Marked(Wrapper):
    """What wrappers for any data share: where a reply says its answer."""

    marker: str = ""
    """The answer is what stands behind the last of these, up to the end of its line; empty for
    the whole reply. Case and white space make no difference."""

    def answer(self, prompt: Prompt, text: str) -> str:
        """The text behind the marker, or else the whole text."""
        marker, lowered = self.marker.lower(), text.lower()
        if not marker or marker not in lowered:
            return spaced(lowered)
        return spaced(lowered.rpartition(marker)[2].split("\n")[0])


class Template(Marked):
    """Fixed words around the last user turn: a biasing cue, a role play, a plea."""

    kind: Literal["template"] = "template"
    before: str = ""
    """Put in front of the turn."""
    after: str = ""
    """Put behind the turn."""

    def pairs(self, context: Context, reference: str) -> list[Pair]:
        """Every prompt with the words around it."""
        asked = asked_of(context.records(reference))
        return [Pair(a.prompt, self._wrapped(a.prompt), a.problem) for a in asked]

    def _wrapped(self, prompt: Prompt) -> Prompt:
        *earlier, last = prompt.messages
        turn = Message(role=last.role, content=f"{self.before}{last.content}{self.after}")
        return prompt.model_copy(update={"messages": (*earlier, turn)})


class Columns(Marked):
    """JSON lines that hold both forms: `{"prompt": ..., "wrapped": ...}`.

    Each is a text or a list of messages `{"role": ..., "content": ...}`. Lines of the same prompt
    are different wrappings of it.
    """

    kind: Literal["columns"] = "columns"

    def pairs(self, context: Context, reference: str) -> list[Pair]:
        """The lines of the file.

        Raises:
            DataError: a line does not hold both forms.
        """
        path = context.path(reference)
        return [_pair(line, f"{path}, line {number}") for number, line in read_lines(path)]


AnyWrapper = Annotated[BiasingCue | Paraphrase | Template | Columns, Field(discriminator="kind")]

_MESSAGES: TypeAdapter[Any] = TypeAdapter(str | tuple[Message, ...])


def _pair(line: str, where: str) -> Pair:
    try:
        row = json.loads(line)
        return Pair(_prompt(row["prompt"]), _prompt(row["wrapped"]))
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise DataError(
            "not a pair of a prompt and its wrapped form",
            where=where,
            expected='{"prompt": ..., "wrapped": ...}, each a text or a list of messages',
            got=line[:120],
            remedy="correct the line",
        ) from error


def _prompt(value: Any) -> Prompt:
    read = _MESSAGES.validate_python(value)
    return Prompt.of(read) if isinstance(read, str) else Prompt(messages=read)


def few_each(pairs: Sequence[Pair], most: int, seed: Seed) -> list[Pair]:
    """At most so many wrapped forms of each prompt, drawn at random."""
    groups: dict[tuple[Message, ...], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.clean.messages, []).append(pair)
    chosen: list[Pair] = []
    for number, own in enumerate(groups.values()):
        order = seed.child(number).numpy().permutation(len(own))[:most]
        chosen += [own[i] for i in sorted(order.tolist())]
    return chosen
