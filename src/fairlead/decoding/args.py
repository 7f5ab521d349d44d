"""ARGS: alignment as reward-guided search. Khanov et al. 2024, arXiv:2402.01694."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from fairlead.core.seeds import Seed
from fairlead.decoding.base import Decoded, DecoderSettings, Models
from fairlead.decoding.candidates import token_reward
from fairlead.decoding.tokenwise import Rule, guided
from fairlead.records import Prompt


class ARGS(DecoderSettings):
    """Chooses every token by its logit plus the weighted reward of the reply with it.

    The reward model must have the policy's tokenizer. It reads nothing twice: the keys and values
    of what has been said are kept, where its architecture allows it. A reward model is shown the
    EOS behind each candidate, as in its training; a value model, named as `prefix`, is not. Source:
    Khanov et al. 2024, arXiv:2402.01694; defaults of its code.
    """

    kind: Literal["args"] = "args"
    k: PositiveInt = 10
    """Likeliest tokens to choose among."""
    weight: NonNegativeFloat = 1.5
    """Of the reward beside the logit, w."""
    temperature: NonNegativeFloat = 0.0
    """0 takes the highest score (ARGS-greedy); else the scores are divided by it and one is drawn
    (ARGS-stochastic, 0.7 in the paper's code)."""
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
        rule = Rule(self.k, self.weight, self.temperature, self.max_new_tokens, self.stop)
        return guided(models, prompts, rule, seed=seed, where=f"decoder {self.kind}")
