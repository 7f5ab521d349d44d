"""A constitution: written principles that critics and judges are asked to apply.

A principle is drawn for each item by weighted rendezvous hashing (Thaler and Ravishankar 1998):
every principle gets a number of its own for the item and the smallest wins. Adding, removing or
reweighting a principle so moves only the items that go to it or leave it.

Principles as pairs of a critique request and a revision request, and as questions for comparisons:
Bai et al. 2022, arXiv:2212.08073.
"""

import hashlib
import json
import math
from typing import Annotated

from pydantic import Field, PositiveFloat, StringConstraints, field_validator

from fairlead.core.seeds import Seed
from fairlead.records import Prompt, Record

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""Text that says something."""


class Principle(Record):
    """One principle, with the words in which it is asked for."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    """Short name; labels and reports refer to it."""
    text: Words
    """The principle itself, shown with every question about it."""
    rationale: str = ""
    """Why it is there, for readers; no model sees it."""
    applies_to: tuple[str, ...] = ()
    """Subsets of prompts that it is drawn for; empty for all."""
    weight: PositiveFloat = 1.0
    """How often it is drawn, relative to the others that apply."""
    critique_request: Words
    """Asks a critic what is wrong with a reply under this principle."""
    revision_request: Words
    """Asks for a reply without what the critique found."""
    comparison_question: Words
    """Asks which of two replies is better under this principle."""

    def applies(self, prompt: Prompt) -> bool:
        """Whether it may be drawn for a prompt."""
        return not self.applies_to or prompt.subset in self.applies_to

    @property
    def comparison_words(self) -> str:
        """What a judge reads."""
        return f"{self.text}\n{self.comparison_question}"

    @property
    def comparison_hash(self) -> str:
        """Changes with everything that a judge of two replies reads."""
        return digest(self.text, self.comparison_question)

    @property
    def critique_hash(self) -> str:
        """Changes with everything that a critic reads."""
        return digest(self.text, self.critique_request, self.revision_request)


class Example(Record):
    """A reply with its critique and its revision, to show a model that knows no instructions."""

    prompt: Words
    reply: Words
    critique: Words
    revision: Words


class Constitution(Record):
    """Principles under one name and version."""

    name: Words
    version: Words
    principles: tuple[Principle, ...] = Field(min_length=1)
    examples: tuple[Example, ...] = ()
    """Shown before every critique."""
    seed: int = 0
    """Of the drawing of principles; another one draws all items anew."""

    @field_validator("version", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """YAML reads 1.0 as a number."""
        return str(value) if isinstance(value, int | float) else value

    @property
    def hash(self) -> str:
        """Changes with every word of it."""
        return digest(json.dumps(self.model_dump(mode="json"), sort_keys=True))

    @property
    def critique_hashes(self) -> dict[str, str]:
        """Of each principle by its id, what a critic reads of it, the examples included."""
        shown = json.dumps([e.model_dump() for e in self.examples], sort_keys=True)
        return {p.id: digest(p.critique_hash, shown) for p in self.principles}

    def principle(self, id: str) -> Principle | None:
        """The principle of that id, where there is one."""
        return next((p for p in self.principles if p.id == id), None)

    def draw(self, prompt: Prompt, *item: str | int) -> Principle | None:
        """The principle for an item; None where none applies to the prompt.

        It follows from the constitution and the item alone, so that a later run knows which items
        another version would judge otherwise.

        Args:
            prompt: what was asked.
            item: what tells apart several items of the prompt: replies, rounds.
        """
        turns = [f"{message.role}: {message.content}" for message in prompt.messages]
        own = Seed(self.seed).child("principle", *turns, *item)
        able = [p for p in self.principles if p.applies(prompt)]
        return min(able, key=lambda p: _waiting(own.child(p.id), p.weight), default=None)


def _waiting(seed: Seed, weight: float) -> float:
    """An exponential waiting time at this rate: the first of several is drawn by its weight."""
    return -math.log((seed.value + 0.5) / 2**63) / weight


def digest(*parts: str) -> str:
    """A short hash of texts, in which their borders count."""
    text = json.dumps(parts, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
