"""The shape of an audit: frozen settings, what it asks of two models, and what it found."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from fairlead.core.errors import ConfigError
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.data.readers import read
from fairlead.judges.asking import Answer, Question, Respondent
from fairlead.models.policy import Policy
from fairlead.records import Record
from fairlead.rewards.base import RewardSource

Need = Literal["judge", "weights", "reward"]
"""What an audit may need besides two models that can be asked."""

Locate = Callable[[str], str]
"""A name in a recipe (a stage's file, a path, a hub name) as what can be opened."""


@dataclass(frozen=True)
class Model:
    """A model under audit: it can be asked, and its weights may be at hand."""

    name: str
    respondent: Respondent
    policy: Policy | None = None
    """None behind a server."""

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer to each question, in their order."""
        return self.respondent.ask(questions)


@dataclass(frozen=True)
class Subject:
    """What is audited, what it is held against, and who helps."""

    candidate: Model
    baseline: Model
    seed: Seed
    judge: Respondent | None = None
    """Reads replies where no rule can."""
    rewards: dict[str, RewardSource] = field(default_factory=dict)
    """Rewards by name: `proxy` is what the candidate was trained on, `gold` one it never met."""
    locate: Locate = str
    """Finds what a recipe names."""

    def records(self, name: str) -> Sequence[Record]:
        """Records of a file, a data set or a stage, in whatever format.

        Raises:
            DataError: nothing is there, or a row is malformed.
        """
        return read(self.locate(name), strict=True).records


class Audit(BaseModel, ABC):
    """Settings of one audit; its margins are fixed here, before anything is measured.

    A subclass is one file: settings, `kind`, what it needs, and `run`. Recipes then know it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    """What the report calls it; empty for its kind."""
    hard: bool = True
    """Whether its gates take part in the decision; otherwise they inform."""
    file_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that name data: a stage's file, a path or a hub name."""
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What must be there besides the two models."""

    @abstractmethod
    def run(self, subject: Subject) -> Finding:
        """Asks, measures and says what it found."""

    @property
    def title(self) -> str:
        """What the report calls it."""
        return self.name or type(self).model_fields["kind"].default

    def check(self, subject: Subject) -> None:
        """Refuses a subject that lacks what the audit needs, before anything is asked.

        Raises:
            ConfigError: it needs a judge, weights or a reward that is not there.
        """
        there: dict[Need, bool] = {
            "judge": subject.judge is not None,
            "weights": None not in (subject.candidate.policy, subject.baseline.policy),
            "reward": "proxy" in subject.rewards,
        }
        for need in sorted(self.needs):
            if not there[need]:
                what, remedy = _LACKING[need]
                raise ConfigError(
                    f"the audit {self.title} needs {what}",
                    where=f"audits, {self.title}",
                    expected=what,
                    got="none",
                    remedy=f"{remedy}, or leave the audit out",
                )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Enters it in the registry under its kind; shared bases have none."""
        super().__pydantic_init_subclass__(**kwargs)
        if "kind" in cls.model_fields:
            AUDITS[cls.model_fields["kind"].default] = cls


AUDITS: dict[str, type[Audit]] = {}
"""Every audit by kind; filled as their modules are imported."""

_LACKING: dict[Need, tuple[str, str]] = {
    "judge": ("a judge", "add `judge:` to the recipe"),
    "weights": ("both models in this process", "give folders or hub names instead of servers"),
    "reward": ("a reward called proxy", "add `rewards: {proxy: ...}` to the recipe"),
}
