"""A scripted judge with known faults, to try out what is built on judges."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fairlead.core.seeds import Seed
from fairlead.records import Prompt


class Scorer(Protocol):
    """A world that knows what replies are worth."""

    def gold(self, prompt: Prompt, response: str) -> float:
        """True worth of a reply."""
        ...


@dataclass(frozen=True)
class ScriptedJudge:
    """Says what a reply is truly worth, with noise, and now and then nothing readable.

    The same reply to the same prompt always gets the same verdict.
    """

    world: Scorer
    noise: float
    """Standard deviation of its error, in units of worth."""
    unreadable: float
    """Probability that a verdict cannot be read."""
    seed: Seed

    def judge(self, prompt: Prompt, replies: Sequence[str]) -> list[float | None]:
        """A score for each reply; None where the verdict is unreadable."""
        return [self._verdict(prompt, reply) for reply in replies]

    def _verdict(self, prompt: Prompt, reply: str) -> float | None:
        turns = [message.content for message in prompt.messages]
        random = self.seed.child(*turns, reply).numpy()
        if random.random() < self.unreadable:
            return None
        return self.world.gold(prompt, reply) + self.noise * float(random.normal())
