"""Work that people write: demonstrations, critiques, attacks."""

from typing import ClassVar, Literal

from pydantic import Field

from fairlead.feedback.work.base import LONGEST, Presence, Problem, Subject, Words, Work
from fairlead.records import Record


class Text(Record):
    """A reply worth imitating."""

    text: Words


class DemonstrationWork(Work):
    """Writing the reply oneself."""

    kind: Literal["demonstration"] = "demonstration"
    min_characters: int = Field(default=1, ge=1)
    max_characters: int = Field(default=LONGEST, le=LONGEST)
    reason: Presence = "off"
    answer: ClassVar[type[Record]] = Text
    fewest: ClassVar[int] = 0
    has_gold: ClassVar[bool] = False

    def problems(self, answer: Text, subject: Subject) -> list[Problem]:
        """Long enough, short enough."""
        n = len(answer.text.strip())
        if self.min_characters <= n <= self.max_characters:
            return []
        limits = f"{self.min_characters} to {self.max_characters}"
        return [("text", f"the reply has {n} characters; {limits} are asked for")]


class Principle(Record):
    """A named rule that replies are held against."""

    name: str = Field(min_length=1, max_length=64)
    text: str


class CritiqueAnswer(Record):
    """What is wrong with a reply under one principle."""

    principle: str
    violates: bool | None = None
    critique: Words = ""
    revision: Words | None = None


class CritiqueWork(Work):
    """Saying what is wrong with a reply under a principle, and writing a better one."""

    kind: Literal["critique"] = "critique"
    principles: tuple[Principle, ...] = Field(min_length=1)
    revision: Presence = "optional"
    reason: Presence = "off"
    answer: ClassVar[type[Record]] = CritiqueAnswer
    has_gold: ClassVar[bool] = False

    def problems(self, answer: CritiqueAnswer, subject: Subject) -> list[Problem]:
        """A principle of this work, a critique, and a revision where one is asked for."""
        found: list[Problem] = []
        names = [principle.name for principle in self.principles]
        if answer.principle not in names:
            found.append(("principle", "choose a principle: " + ", ".join(names)))
        if not answer.critique.strip():
            found.append(("critique", "write what the principle says about this reply"))
        written = bool((answer.revision or "").strip())
        if self.revision == "required" and not written:
            found.append(("revision", "write a better reply"))
        if self.revision == "off" and written:
            found.append(("revision", "this work does not ask for a better reply"))
        return found


class Turn(Record):
    """One message of a conversation."""

    role: Literal["user", "assistant"]
    content: Words


class Attack(Record):
    """A conversation in which a person tried to make a model misbehave."""

    turns: tuple[Turn, ...]
    goal: Words = ""
    success: int | None = None
    """The person's own rating, from 1 (it resisted) to the number of levels."""
    tags: tuple[str, ...] = ()


class RedTeam(Work):
    """Trying to make a model misbehave, and saying how far it went."""

    kind: Literal["redteam"] = "redteam"
    max_turns: int = Field(default=20, ge=2)
    """Messages of both sides together."""
    levels: int = Field(default=5, ge=2, le=11)
    tags: tuple[str, ...] = ()
    """Kinds of harm that may be ticked."""
    reason: Presence = "off"
    answer: ClassVar[type[Record]] = Attack
    fewest: ClassVar[int] = 0
    most: ClassVar[int] = 0
    has_gold: ClassVar[bool] = False

    def problems(self, answer: Attack, subject: Subject) -> list[Problem]:
        """Turns alternate, begin with the person and end with the model."""
        found: list[Problem] = []
        roles = [turn.role for turn in answer.turns]
        if len(roles) < 2:
            found.append(("turns", "write to the model and wait for its reply"))
        if roles != (["user", "assistant"] * len(roles))[: len(roles)] or len(roles) % 2:
            found.append(("turns", "turns of person and model must alternate"))
        if len(roles) > self.max_turns:
            found.append(("turns", f"at most {self.max_turns} turns"))
        if answer.success is None or not 1 <= answer.success <= self.levels:
            found.append(("success", f"say how far it went, from 1 to {self.levels}"))
        if set(answer.tags) - set(self.tags):
            found.append(("tags", "a tag is not part of this work"))
        return found
