"""Token-wise controlled decoding. Mudgal et al. 2023, arXiv:2310.17022."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from fairlead.core.seeds import Seed
from fairlead.decoding.base import Decoded, DecoderSettings, Models
from fairlead.decoding.candidates import token_reward
from fairlead.decoding.tokenwise import Rule, guided
from fairlead.records import Prompt


class Controlled(DecoderSettings):
    """Draws every token in proportion to its probability times exp(λ · value of the reply with it).

    Only the likeliest tokens are looked at. The value is what a value model (`prefix`) expects of
    the whole reply; a reward model says what the reply would be worth if it ended there. Source:
    Mudgal et al. 2023, arXiv:2310.17022.
    """

    kind: Literal["controlled"] = "controlled"
    strength: NonNegativeFloat = 1.0
    """λ: how much the value counts; 0 leaves the policy as it is among the likeliest tokens."""
    k: PositiveInt = 20
    """Likeliest tokens to draw from."""
    max_new_tokens: PositiveInt = 128
    """Longest reply in tokens, its EOS included."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts that end a reply."""

    def check(self, models: Models) -> None:
        """Refuses rewards that cannot score tokens."""
        super().check(models)
        token_reward(models.guide, models.policy.tokenizer, where=f"decoder {self.kind}")

    def decode_with(
        self, models: Models, prompts: Sequence[Prompt], *, seed: Seed
    ) -> list[Decoded]:
        """One reply to each prompt."""
        rule = Rule(self.k, self.strength, 1.0, self.max_new_tokens, self.stop)
        return guided(models, prompts, rule, seed=seed, where=f"decoder {self.kind}")
