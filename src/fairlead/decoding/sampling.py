"""Plain sampling, which every other decoder is measured against."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from fairlead.core.seeds import Seed
from fairlead.decoding.base import Decoded, DecoderSettings, Models
from fairlead.decoding.speaking import Speaker
from fairlead.generation.sampling import Sampling
from fairlead.records import Prompt


class PlainSampling(DecoderSettings):
    """One sample, whatever it is worth; with `temperature` 0 the likeliest tokens."""

    kind: Literal["sampling"] = "sampling"
    sampling: Sampling = Sampling(max_new_tokens=128)
    """How it is drawn."""
    rewarded: ClassVar[bool] = False

    def decode_with(
        self, models: Models, prompts: Sequence[Prompt], *, seed: Seed
    ) -> list[Decoded]:
        """One reply to each prompt; nothing scores it."""
        spoken = Speaker(models.policy).sample(prompts, self.sampling, n=1, seed=seed)
        return [Decoded(own.replies[0], None, own.spent) for own in spoken]
