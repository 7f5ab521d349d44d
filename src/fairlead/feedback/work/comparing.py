"""Work on several replies: pairs and rankings."""

from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import Field

from fairlead.feedback.work.base import Problem, Subject, Value, Work
from fairlead.records import Record


class Preference(Record):
    """One of two, or none of them."""

    preferred: int | None
    """Candidate id; null for a tie."""
    strength: int | None = None
    """Number of the level, from 1 for the weakest; null for ties and where it is not asked."""
    both_bad: bool = False
    """For a tie: neither is acceptable."""


class Pairwise(Work):
    """Which of two replies is better (or, for red teams, worse)."""

    kind: Literal["pairwise"] = "pairwise"
    polarity: Literal["better", "worse"] = "better"
    """What `preferred` means."""
    tie: bool = True
    both_bad: bool = False
    strengths: tuple[str, ...] = ()
    """Names of the levels from weakest to strongest; empty where strength is not asked."""
    answer: ClassVar[type[Record]] = Preference
    fewest: ClassVar[int] = 2
    most: ClassVar[int] = 2

    def problems(self, answer: Preference, subject: Subject) -> list[Problem]:
        """A known candidate or an allowed tie; a level where one is asked."""
        if answer.preferred is None:
            return self._tie_problems(answer)
        found: list[Problem] = []
        if answer.preferred not in subject.candidates:
            found.append(("preferred", "choose one of the two replies"))
        if answer.both_bad:
            found.append(("both_bad", "a reply that is preferred cannot also be one of two bad"))
        levels = range(1, len(self.strengths) + 1)
        if self.strengths and answer.strength not in levels:
            found.append(("strength", "say how much: " + ", ".join(self.strengths)))
        if not self.strengths and answer.strength is not None:
            found.append(("strength", "this work does not ask how much"))
        return found

    def _tie_problems(self, answer: Preference) -> list[Problem]:
        found: list[Problem] = []
        if answer.both_bad and not self.both_bad:
            found.append(("both_bad", "this work has no answer for two bad replies"))
        if not answer.both_bad and not self.tie:
            found.append(("preferred", "choose one of the two replies; ties are not offered"))
        if answer.strength is not None:
            found.append(("strength", "a tie has no strength"))
        return found

    def renamed(self, value: Value, name: Callable[[int], int]) -> Value:
        """Other names for the preferred reply."""
        preferred = value.get("preferred")
        return (
            {**value, "preferred": None}
            if preferred is None
            else {
                **value,
                "preferred": name(preferred),
            }
        )


class Tiers(Record):
    """Replies from best to worst; those of one tier are equal, those missing unranked."""

    tiers: tuple[tuple[int, ...], ...] = Field(min_length=1)


class RankingWork(Work):
    """Several replies in order."""

    kind: Literal["ranking"] = "ranking"
    polarity: Literal["better", "worse"] = "better"
    tie: bool = True
    partial: bool = False
    """Whether replies may stay unranked."""
    answer: ClassVar[type[Record]] = Tiers
    fewest: ClassVar[int] = 2
    most: ClassVar[int] = 20

    def problems(self, answer: Tiers, subject: Subject) -> list[Problem]:
        """Every candidate at most once, all of them unless partial, alone unless ties."""
        named = [one for tier in answer.tiers for one in tier]
        found: list[Problem] = []
        if not set(named) <= set(subject.candidates):
            found.append(("tiers", "the ranking names a reply that is not part of this task"))
        if len(named) != len(set(named)):
            found.append(("tiers", "a reply has two ranks"))
        missing = len(set(subject.candidates) - set(named))
        if missing and not self.partial:
            found.append(("tiers", f"{missing} replies have no rank yet"))
        if any(not tier for tier in answer.tiers):
            found.append(("tiers", "a rank is empty"))
        if len(named) < 2:
            found.append(("tiers", "rank at least two replies"))
        if not self.tie and any(len(tier) > 1 for tier in answer.tiers):
            found.append(("tiers", "two replies have the same rank; ties are not offered"))
        return found

    def canonical(self, answer: Tiers, subject: Subject) -> Value:
        """Ties in ascending order of ids."""
        return {"tiers": [sorted(tier) for tier in answer.tiers]}

    def renamed(self, value: Value, name: Callable[[int], int]) -> Value:
        """Other names for all replies; ties sorted again."""
        return {"tiers": [sorted(name(one) for one in tier) for tier in value["tiers"]]}
