"""Blockwise controlled decoding: best-of-K, block after block.

Mudgal et al. 2023, arXiv:2310.17022.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import PositiveInt

from fairlead.core.seeds import Seed
from fairlead.decoding.base import Decoded, DecoderSettings, Models
from fairlead.decoding.search import Plan, search
from fairlead.generation.sampling import Sampling
from fairlead.records import Prompt
from fairlead.stats.best_of_n import best_of_n_kl_bound


class Blockwise(DecoderSettings):
    """Draws K blocks, keeps the one of the highest value, and goes on from there.

    With blocks as long as the reply it is best-of-n. Counts `kl_bound`, in nats: log K - (K - 1) /
    K for every block. Source: Mudgal et al. 2023, arXiv:2310.17022.
    """

    kind: Literal["blockwise"] = "blockwise"
    blocks: PositiveInt = 8
    """Blocks drawn at a time, K."""
    block: PositiveInt = 16
    """Tokens of a block, M."""
    sampling: Sampling = Sampling(max_new_tokens=128)
    """How tokens are drawn, and the longest reply."""

    def decode_with(
        self, models: Models, prompts: Sequence[Prompt], *, seed: Seed
    ) -> list[Decoded]:
        """One reply to each prompt."""
        plan = Plan(self.sampling, 1, self.blocks, self.block)
        bound = best_of_n_kl_bound(self.blocks)
        return [
            replace(
                own,
                counts={"chunks": own.counts["chunks"], "kl_bound": bound * own.counts["chunks"]},
            )
            for own in search(models, prompts, plan, seed=seed)
        ]
