"""Which of the sampled replies are worth imitating.

The best of each prompt: RAFT, Dong et al. 2023, arXiv:2304.06767. All right ones, a few per prompt:
RFT, Yuan et al. 2023, arXiv:2308.01825; ReST-EM, Singh et al. 2023, arXiv:2312.06585.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from fairlead.records import Message, Rating

Key = tuple[Message, ...]


class Best(BaseModel):
    """The reply with the highest score for each prompt; the first of equals.

    One is kept for every prompt, also where none of them is right.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["best"] = "best"

    def __call__(self, samples: Sequence[Rating], threshold: float) -> list[Rating]:
        """The selected replies, one per prompt."""
        return [max(own, key=lambda sample: sample.value) for own in by_prompt(samples).values()]


class Correct(BaseModel):
    """All replies that reach the threshold, each text once, a few per prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["correct"] = "correct"
    cap: PositiveInt = 10
    """Replies per prompt at most, so that easy prompts do not outweigh hard ones."""

    def __call__(self, samples: Sequence[Rating], threshold: float) -> list[Rating]:
        """The selected replies, by prompt."""
        chosen: list[Rating] = []
        for own in by_prompt(samples).values():
            right = [sample for sample in own if sample.value >= threshold]
            chosen += distinct(right)[: self.cap]
        return chosen


Selection = Annotated[Best | Correct, Field(discriminator="kind")]


def by_prompt(samples: Sequence[Rating]) -> dict[Key, list[Rating]]:
    """The replies of each prompt, in order of appearance."""
    groups: dict[Key, list[Rating]] = {}
    for sample in samples:
        groups.setdefault(sample.prompt.messages, []).append(sample)
    return groups


def distinct(samples: Sequence[Rating]) -> list[Rating]:
    """Each text once; white space makes no difference."""
    found: dict[str, Rating] = {}
    for sample in samples:
        found.setdefault(spaced(sample.response), sample)
    return list(found.values())


def spaced(text: str) -> str:
    """The words of a text with one space between them."""
    return " ".join(text.split())
