"""Judges of single replies as the reward of training or of best-of-n."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fairlead.judges.scoring import ReplyScorer, Score
from fairlead.records import Message, Prompt
from fairlead.rewards.base import Reply, Scored
from fairlead.rewards.judge import JudgeReward

LOWEST = -1.0


@dataclass(frozen=True)
class JudgedReward:
    """Asks a judge about all replies at once.

    What could not be scored is treated as by `JudgeReward`: counted, and given the mean of the
    other replies to its prompt, never 0. An empty reply is no such case: with the mean of the
    others it would pay to say nothing.
    """

    scorer: ReplyScorer
    empty: float = LOWEST
    """What a reply is worth in which there is nothing to judge."""

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.scorer.name

    def score(self, replies: Sequence[Reply]) -> Scored:
        """One score for each reply; part `unparsed` is 1 where there was none.

        The reasons are the states. Parts of the scores are those that every scored reply has; a
        reply without gets their mean.

        Raises:
            DataError: not one reply could be scored.
        """
        scores = self.scorer.scores([(reply.prompt, reply.text) for reply in replies])
        both = zip(replies, scores, strict=True)
        known = _Known({(r.prompt.messages, r.text): self._worth(s) for r, s in both})
        scored = JudgeReward(known, self.name).score(replies)
        return replace(
            scored,
            parts=scored.parts | _parts(scores),
            reasons=tuple(score.state for score in scores),
        )

    def _worth(self, score: Score) -> float | None:
        nothing = score.value is None and score.state == "target_refused"
        return self.empty if nothing else score.value


@dataclass(frozen=True)
class _Known:
    """A judge that was asked before."""

    values: dict[tuple[tuple[Message, ...], str], float | None]

    def judge(self, prompt: Prompt, replies: Sequence[str]) -> list[float | None]:
        """The scores of replies to one prompt."""
        return [self.values[prompt.messages, reply] for reply in replies]


def _parts(scores: Sequence[Score]) -> dict[str, Tensor]:
    read = [score.parts for score in scores if score.value is not None]
    names = [name for name in (read[0] if read else {}) if all(name in parts for parts in read)]
    found: dict[str, Tensor] = {}
    for name in names:
        mean = sum(parts[name] for parts in read) / len(read)
        found[name] = torch.tensor([score.parts.get(name, mean) for score in scores])
    return found
