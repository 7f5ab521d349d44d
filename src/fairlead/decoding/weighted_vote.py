"""Voting in which a reply's vote counts by its reward.

Li et al. 2022, arXiv:2206.02336.
"""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.decoding.base import Decoded, DecoderSettings, Models
from fairlead.decoding.judging import judged
from fairlead.decoding.speaking import Speaker
from fairlead.decoding.voting import AnswerReader, Ballot, answer_in, elected
from fairlead.generation.sampling import Sampling
from fairlead.records import Prompt
from fairlead.rewards.verifiers.number import NumberChecker


class WeightedVote(DecoderSettings):
    """Draws n replies; each votes for its answer with its reward, and the best of the winners wins.

    Replies that answer nothing or were cut off have no vote. Counts `voters` and the winner's
    `share` of the votes. Source: Li et al. 2022, arXiv:2206.02336.
    """

    kind: Literal["weighted_vote"] = "weighted_vote"
    n: PositiveInt = 16
    """Replies per prompt."""
    temperature: PositiveFloat | None = None
    """For rewards that are log-odds, as those of reward models are: a vote counts exp(reward /
    temperature). Null: it counts the reward itself, which must be a probability or worth."""
    answers: AnswerReader = NumberChecker()
    """How an answer is read off a reply."""
    sampling: Sampling = Sampling(max_new_tokens=512)
    """How replies are drawn."""

    def decode_with(
        self, models: Models, prompts: Sequence[Prompt], *, seed: Seed
    ) -> list[Decoded]:
        """One reply to each prompt.

        Raises:
            ConfigError: a reward is below 0 and no temperature is set.
        """
        spoken = Speaker(models.policy).sample(prompts, self.sampling, n=self.n, seed=seed)
        found = iter(judged(models.judge, [reply for own in spoken for reply in own.replies]))
        answers: list[Decoded] = []
        for own in spoken:
            scored = [next(found) for _ in own.replies]
            scores = [score for score, _ in scored]
            ballots = [
                Ballot(reply, answer_in(self.answers, reply), weight, score)
                for reply, weight, score in zip(
                    own.replies, self._weights(scores), scores, strict=True
                )
            ]
            answers.append(elected(ballots, sum((cost for _, cost in scored), start=own.spent)))
        return answers

    def _weights(self, scores: Sequence[float]) -> list[float]:
        if self.temperature is not None:
            return [math.exp((score - max(scores)) / self.temperature) for score in scores]
        if min(scores) < 0:
            raise ConfigError(
                "votes cannot count less than nothing",
                where="temperature",
                expected="rewards from 0 on, such as probabilities",
                got=f"{min(scores):g}",
                remedy="set a temperature, for rewards that are log-odds",
            )
        return list(scores)
