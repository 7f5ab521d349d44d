"""Reward-guided beam search over chunks of tokens."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PositiveInt

from fairlead.core.seeds import Seed
from fairlead.decoding.base import Decoded, DecoderSettings, Models
from fairlead.decoding.search import Plan, search
from fairlead.generation.sampling import Sampling
from fairlead.records import Prompt


class Beam(DecoderSettings):
    """Draws several chunks behind every beam and keeps the beams that score best.

    A reward model that has only seen whole replies is a poor judge of beginnings: chunks are long
    for that reason, and a value model may judge beginnings in its place. Copies of a beginning
    count once. One beam and a chunk as long as the reply are best-of-n.
    """

    kind: Literal["beam"] = "beam"
    width: PositiveInt = 4
    """Beams kept."""
    expansions: PositiveInt = 4
    """Chunks drawn behind each beam."""
    chunk: int = Field(default=16, ge=16)
    """Tokens of a chunk."""
    per_parent: PositiveInt | None = 2
    """Continuations of one beam kept at most, so that beams stay different; null for no limit. It
    does not hold for the first chunk, where all have one parent."""
    sampling: Sampling = Sampling(max_new_tokens=128)
    """How tokens are drawn, and the longest reply."""

    def decode_with(
        self, models: Models, prompts: Sequence[Prompt], *, seed: Seed
    ) -> list[Decoded]:
        """The reply that scores best among the finished beams of each prompt."""
        plan = Plan(self.sampling, self.width, self.expansions, self.chunk, False, self.per_parent)
        return search(models, prompts, plan, seed=seed)
