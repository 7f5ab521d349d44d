"""Search over the steps of a solution, guided by a process reward model.

Snell et al. 2024, arXiv:2408.03314.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import PositiveInt

from fairlead.core.seeds import Seed
from fairlead.decoding.base import Decoded, DecoderSettings, Models
from fairlead.decoding.search import Plan, search
from fairlead.generation.sampling import Sampling
from fairlead.records import Prompt


class ProcessSearch(DecoderSettings):
    """Draws several next steps behind every beam and keeps the beams that score best.

    A step is a line. The reward should judge steps, as a process reward model does; any other is
    shown the steps so far as a whole reply. Source: Snell et al. 2024, arXiv:2408.03314.
    """

    kind: Literal["process_search"] = "process_search"
    width: PositiveInt = 4
    """Beams kept."""
    expansions: PositiveInt = 4
    """Steps drawn behind each beam."""
    step_tokens: PositiveInt = 128
    """Longest step; a longer one is judged in parts."""
    per_parent: PositiveInt | None = 2
    """Continuations of one beam kept at most; null for no limit."""
    sampling: Sampling = Sampling(max_new_tokens=512)
    """How tokens are drawn, and the longest solution."""

    def decode_with(
        self, models: Models, prompts: Sequence[Prompt], *, seed: Seed
    ) -> list[Decoded]:
        """The solution that scores best among the finished beams of each prompt."""
        plan = Plan(
            self.sampling, self.width, self.expansions, self.step_tokens, True, self.per_parent
        )
        return search(models, prompts, plan, seed=seed)
