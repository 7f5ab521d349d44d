"""Models that behave as a script says, so that an audit can be run on a known behaviour."""

from collections.abc import Callable, Sequence

import numpy as np

from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question

Behaviour = Callable[[Question, np.random.Generator], Answer]
"""Says the answer to a question; draws only from the generator it is given."""


class Scripted:
    """A respondent with a known behaviour; an answer depends on its question and the seed alone.

    Args:
        behave: says the answer to a question.
        seed: of its draws; every question has a stream of its own, samples of it differ.
        name: what reports call it.
    """

    def __init__(self, behave: Behaviour, *, seed: Seed, name: str = "scripted") -> None:
        self.behave = behave
        self.seed = seed
        self._name = name

    @property
    def name(self) -> str:
        """What records and reports call it."""
        return self._name

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer to each question, in their order."""
        return [self.behave(q, self.seed.child(q.model_dump_json()).numpy()) for q in questions]
