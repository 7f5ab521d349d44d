"""What judges that look at one reply at a time share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, State
from fairlead.judges.fences import Fences, texts_of
from fairlead.records import Prompt

Asked = tuple[Prompt, str]
"""A prompt and the reply to be scored."""


@dataclass(frozen=True)
class Score:
    """What a reply is worth to a judge."""

    value: float | None
    """None where the judge did not say."""
    state: State
    parts: dict[str, float] = field(default_factory=dict[str, float])
    """What the value is made of, by name, as far as it is known."""
    mass: float | None = None
    """Smallest probability of all options together, where known."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    detail: str = ""


class ReplyScorer(Protocol):
    """Anything that says what single replies are worth."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def scores(self, asked: Sequence[Asked]) -> list[Score]:
        """A score for each reply, in order; one does not depend on the others."""
        ...


NOTHING_SAID = Score(None, "target_refused", detail="the reply is empty")


def unvalued(answer: Answer, *, least_mass: float) -> Score:
    """How an answer ended, without a value yet.

    Args:
        answer: of a judge who was given options.
        least_mass: least probability of all options together; below it the judge meant to say
            something else, which is a `parse_fail`.
    """
    state, detail = answer.state, answer.detail
    if state == "scored" and answer.mass is not None and answer.mass < least_mass:
        state, detail = "parse_fail", f"options have {answer.mass:.3g} of the probability"
    return Score(
        value=None,
        state=state,
        mass=answer.mass,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        detail=detail,
    )


def shown(prompt: Prompt, reply: str, demand: str, seed: Seed) -> Prompt:
    """A conversation and a reply behind fences, and what is asked about the reply."""
    fences = Fences.around((*texts_of(prompt), reply), seed)
    parts = (
        "Judge a reply to the last request of a conversation.",
        fences.explanation,
        fences.conversation(prompt),
        fences.hold("reply", reply),
        demand,
    )
    return Prompt.of("\n\n".join(parts))
