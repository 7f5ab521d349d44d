"""What people and models said, as frozen values. Never imports torch."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Role = Literal["system", "user", "assistant", "tool"]


class Record(BaseModel):
    """Base of all records: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Provenance(Record):
    """Where a record came from."""

    source: str
    """File path, data set name or annotator service."""
    row: int | None = None
    """Row in the source, counted from 1."""
    annotator: str | None = None
    """Who judged: a person's pseudonym, a model, or a simulated annotator."""
    feedback: Literal["human", "ai"] | None = None
    """Whether a person judged or a model; None where nobody said."""
    principle: str | None = None
    """Id of the principle that decided."""
    wording: str | None = None
    """Hash of the words in which that principle was put."""


class Message(Record):
    """One turn of a conversation."""

    role: Role
    content: str


class Prompt(Record):
    """A conversation up to the point where the model must answer.

    One that ends in an assistant's turn is to be continued there: a reply goes on behind its text,
    and does not end the turn.
    """

    messages: tuple[Message, ...] = Field(min_length=1)
    subset: str = ""
    """Name of the part of the data it belongs to, for results by subset."""
    provenance: Provenance | None = None

    @classmethod
    def of(cls, text: str, *, subset: str = "", provenance: Provenance | None = None) -> "Prompt":
        """A prompt of one user turn."""
        message = Message(role="user", content=text)
        return cls(messages=(message,), subset=subset, provenance=provenance)

    @property
    def continues(self) -> bool:
        """Whether a reply goes on with an assistant's turn that has begun."""
        return self.messages[-1].role == "assistant"

    @property
    def first_user_turn(self) -> str:
        """The opening words of the user: what splits are grouped by."""
        return next(
            (m.content for m in self.messages if m.role == "user"), self.messages[0].content
        )


class Demonstration(Record):
    """A prompt with a reply worth imitating."""

    prompt: Prompt
    response: str


class Comparison(Record):
    """Two replies to one prompt, of which somebody preferred one."""

    prompt: Prompt
    chosen: str
    rejected: str
    tie: bool = False
    """True where the judge found no difference; chosen and rejected are then in source order."""
    strength: float | None = None
    """How much better, on the source's own scale, where it has one."""
    preference: float | None = Field(default=None, ge=0, le=1)
    """Probability that chosen is the better one, where it was judged softly; None for 1."""
    chosen_safe: bool | None = None
    """Whether the chosen reply is safe, where somebody said."""
    rejected_safe: bool | None = None
    """Whether the rejected reply is safe, where somebody said."""
    safer: Literal["chosen", "rejected"] | None = None
    """Which reply is safer, where that was asked apart from which is better."""
    provenance: Provenance | None = None
    """Who compared, and under which principle; None where the prompt's says so."""

    @property
    def judged_by(self) -> Provenance | None:
        """Who compared the replies, where that is known."""
        return self.provenance or self.prompt.provenance


class Ranking(Record):
    """K replies to one prompt with their ranks; equal ranks are ties."""

    prompt: Prompt
    responses: tuple[str, ...] = Field(min_length=2)
    ranks: tuple[int, ...]
    """Rank of each response; smaller is better."""
    scores: tuple[dict[str, float], ...] = ()
    """Ratings of each response by dimension; empty where there are none."""

    @model_validator(mode="after")
    def _one_rank_each(self) -> Self:
        if len(self.ranks) != len(self.responses):
            raise ValueError(f"{len(self.responses)} responses but {len(self.ranks)} ranks")
        if self.scores and len(self.scores) != len(self.responses):
            raise ValueError(f"{len(self.responses)} responses but {len(self.scores)} scores")
        return self


class Rating(Record):
    """One reply judged alone: a thumb (1.0 or 0.0) or a score."""

    prompt: Prompt
    response: str
    value: float
    scores: dict[str, float] = {}
    """Ratings by dimension, where there are several."""


class StepLabels(Record):
    """A solution in steps, each judged: 1 right, 0 neutral, -1 wrong, None unlabelled."""

    prompt: Prompt
    steps: tuple[str, ...] = Field(min_length=1)
    labels: tuple[Literal[-1, 0, 1] | None, ...]
    probabilities: tuple[float, ...] = ()
    """Probability that each step is right, where it was estimated instead of judged."""

    @model_validator(mode="after")
    def _one_label_each(self) -> Self:
        if len(self.labels) != len(self.steps):
            raise ValueError(f"{len(self.steps)} steps but {len(self.labels)} labels")
        if self.probabilities and len(self.probabilities) != len(self.steps):
            got = len(self.probabilities)
            raise ValueError(f"{len(self.steps)} steps but {got} probabilities")
        return self


class Problem(Record):
    """A task whose answer can be checked."""

    prompt: Prompt
    answer: str
    solution: str = ""
    """A worked solution, where the source has one."""


class Critique(Record):
    """What is wrong with a reply, in words, and possibly a better one."""

    prompt: Prompt
    response: str
    critique: str
    revision: str | None = None
    round: int | None = None
    """Which of several rounds of critique and revision, counted from 1."""
    fault: str | None = None
    """Why the revision must not be used; None where nothing speaks against it."""
    provenance: Provenance | None = None
    """Who wrote the critique and the revision, and under which principle."""


class Verdict(Record):
    """One judge's decision between replies, kept apart from what it is aggregated into."""

    prompt: Prompt
    responses: tuple[str, ...]
    winner: int | None
    """Index of the preferred response; None for a tie."""
    judge: str
    order: Sequence[int] = ()
    """The order in which the responses were shown."""
