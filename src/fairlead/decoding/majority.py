"""Majority voting, or self-consistency: the answer that most samples give.

Wang et al. 2022, arXiv:2203.11171.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import PositiveInt

from fairlead.core.seeds import Seed
from fairlead.decoding.base import Decoded, DecoderSettings, Models
from fairlead.decoding.speaking import Speaker
from fairlead.decoding.voting import AnswerReader, Ballot, answer_in, elected
from fairlead.generation.sampling import Sampling
from fairlead.records import Prompt
from fairlead.rewards.verifiers.number import NumberChecker


class Majority(DecoderSettings):
    """Draws n replies and answers with the first that gives the most frequent answer.

    Replies that answer nothing or were cut off have no vote. Counts `voters` and the winner's
    `share` of the votes. Source: Wang et al. 2022, arXiv:2203.11171.
    """

    kind: Literal["majority"] = "majority"
    n: PositiveInt = 16
    """Replies per prompt."""
    answers: AnswerReader = NumberChecker()
    """How an answer is read off a reply."""
    sampling: Sampling = Sampling(max_new_tokens=512)
    """How replies are drawn."""
    rewarded: ClassVar[bool] = False

    def decode_with(
        self, models: Models, prompts: Sequence[Prompt], *, seed: Seed
    ) -> list[Decoded]:
        """One reply to each prompt; nothing scores it."""
        return [
            elected([Ballot(r, answer_in(self.answers, r), 1.0) for r in own.replies], own.spent)
            for own in Speaker(models.policy).sample(prompts, self.sampling, n=self.n, seed=seed)
        ]
