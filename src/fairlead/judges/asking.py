"""How a judge or critic is asked, whoever it is, and the states an answer can end in.

Nothing that could not be read counts as a score: it keeps the name of what went wrong.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from fairlead.records import Prompt, Record

State = Literal[
    "scored", "target_refused", "judge_refused", "parse_fail", "truncated", "error", "over_budget"
]
"""How an item ended. `target_refused`: there was no reply to judge. `judge_refused`: the judge
declined. `parse_fail`: its words hold no verdict. `truncated`: it was cut off before one. `error`:
no usable answer came. `over_budget`: it was not asked, for want of tokens or money."""


class Question(Record):
    """One request to a model that answers in words or by choosing among options."""

    prompt: Prompt
    """What it is told; one that ends in an assistant's turn is continued there."""
    options: tuple[str, ...] = ()
    """Where given, the probability of each as the next words is wanted, instead of a text."""
    max_tokens: PositiveInt = 256
    """Longest answer; not used with options."""
    temperature: NonNegativeFloat = 0.0
    """0 takes the likeliest words."""
    sample: NonNegativeInt = 0
    """Which of several answers to the same question this is; it has a random stream of its own."""

    @model_validator(mode="after")
    def _several_options(self) -> "Question":
        if len(self.options) == 1 or len(set(self.options)) != len(self.options):
            raise ValueError(f"options must be several and differ, got {self.options}")
        return self


class Answer(Record):
    """What came back."""

    state: State = "scored"
    text: str = ""
    """Its words; empty where options were given."""
    probabilities: tuple[float, ...] = ()
    """Probability of each option among the options, so they add up to 1; empty for texts."""
    mass: float | None = Field(default=None, ge=0, le=1 + 1e-6)
    """Probability of all options together among everything it might have said, where known. Close
    to 0, the judge meant to say something else."""
    prompt_tokens: NonNegativeInt = 0
    completion_tokens: NonNegativeInt = 0
    detail: str = ""
    """What went wrong, in words; empty where nothing did."""


class Respondent(Protocol):
    """Anything that answers questions: a model in this process, a server, a script, a person."""

    @property
    def name(self) -> str:
        """What records and reports call it."""
        ...

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer to each question, in their order."""
        ...
