"""CARDS: cascade reward sampling. Li et al. 2024, arXiv:2406.16306."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt

from fairlead.core.seeds import Seed
from fairlead.decoding.base import Decoded, DecoderSettings, Models, Spent
from fairlead.decoding.judging import judged, rescored
from fairlead.decoding.segments import Begun, Borders, Segment, segments
from fairlead.decoding.speaking import Speaker
from fairlead.generation.local import check_room, room_of
from fairlead.generation.sampling import Finish, Sampling
from fairlead.records import Prompt
from fairlead.rewards.base import Reply


class CARDS(DecoderSettings):
    """Draws segments until one is good enough for its place in the reply.

    A segment ends where the policy is unsure how to go on: before a token whose distribution has an
    entropy of at least `entropy`, once it has `shortest` tokens; at `longest` tokens; or with the
    reply. It is accepted with probability min(1, exp((r - τ) / β)), where r is the reward of the
    reply so far. τ rises with its length t from (1 - alpha) r(prompt) + alpha · goal to the goal:
    τ(t) = min(τ(0) + t (goal - τ(0)) / max_new_tokens, goal). After too many rejections the best of
    the rejected is taken.

    Counts `segments`, `segment_tokens` (mean length of the accepted), `rejections` (per segment)
    and `policy_calls` (tokens drawn, whatever became of them). Source: Li et al. 2024,
    arXiv:2406.16306; defaults of its code, which has no EOS: here one ends the reply.
    """

    kind: Literal["cards"] = "cards"
    goal: float
    """Reward that a whole reply should reach, r*, on the scale of the reward."""
    entropy: NonNegativeFloat = 3.0
    """Nats, over the whole vocabulary at temperature 1."""
    shortest: PositiveInt = 4
    """Tokens before which no segment ends for its entropy."""
    longest: PositiveInt = 64
    """Tokens at which every segment ends."""
    alpha: float = 0.5
    """Share of the goal in the first threshold."""
    beta: NonNegativeFloat = 0.7
    """Softness of the acceptance; 0 accepts from the threshold on and nothing else."""
    rejections: PositiveInt = 20
    """Rejected segments after which the best of them is taken."""
    sampling: Sampling = Sampling(max_new_tokens=128, temperature=0.7, top_k=40)
    """How tokens are drawn, and the longest reply."""

    def decode_with(
        self, models: Models, prompts: Sequence[Prompt], *, seed: Seed
    ) -> list[Decoded]:
        """One reply to each prompt.

        The n-th proposal to a prompt is drawn from `seed.child(place, "proposal", n)` and accepted
        by `seed.child(place, "accept", n)`. The beginning is read anew for every proposal, which is
        counted.

        Raises:
            DataError: a prompt leaves no room for a reply.
            ConfigError: a prompt with a whole reply passes the model's context.
        """
        speaker = Speaker(models.policy)
        asked = speaker.ids(prompts)
        check_room(asked, self.sampling.max_new_tokens, room_of(models.policy))
        drafts = [
            _Draft(prompt, Begun(ids), seed.child(place))
            for place, (prompt, ids) in enumerate(zip(prompts, asked, strict=True))
        ]
        self._start(speaker, models, drafts)
        while going := [draft for draft in drafts if draft.finish is None]:
            self._advance(speaker, models, going)
        return _answers(speaker, models, drafts)

    def first_threshold(self, score: float) -> float:
        """τ(0), from the reward of the prompt with nothing said."""
        return (1 - self.alpha) * score + self.alpha * self.goal

    def threshold(self, start: float, tokens: int) -> float:
        """τ after so many tokens, from τ(0)."""
        rise = (self.goal - start) * tokens / self.sampling.max_new_tokens
        return min(start + rise, self.goal)

    def acceptance(self, score: float, threshold: float) -> float:
        """Probability with which a segment is accepted."""
        if score >= threshold:
            return 1.0
        return math.exp((score - threshold) / self.beta) if self.beta else 0.0

    def _start(self, speaker: Speaker, models: Models, drafts: "Sequence[_Draft]") -> None:
        """Sets each draft's first threshold by the reward of saying nothing."""
        empty = [draft.reply(speaker, Segment((), None, 0)) for draft in drafts]
        for draft, (score, cost) in zip(drafts, judged(models.guide, empty), strict=True):
            draft.start = self.first_threshold(score)
            draft.spent += cost

    def _advance(self, speaker: Speaker, models: Models, drafts: "Sequence[_Draft]") -> None:
        """One proposal for each draft, accepted or not."""
        borders = Borders(self.entropy, self.shortest, self.longest)
        streams = [draft.seed.child("proposal", draft.proposals).numpy() for draft in drafts]
        begun = [draft.begun for draft in drafts]
        drawn = segments(speaker, begun, borders, self.sampling, streams)
        replies = [draft.reply(speaker, own) for draft, own in zip(drafts, drawn, strict=True)]
        for draft, segment, (score, cost) in zip(
            drafts, drawn, judged(models.guide, replies), strict=True
        ):
            draft.spent += cost + Spent(policy_tokens=len(draft.begun.ids) + segment.read)
            draft.drawn += len(segment.tokens)
            self._weigh(draft, segment, score)

    def _weigh(self, draft: "_Draft", segment: Segment, score: float) -> None:
        """Accepts a proposal, or notes that it was rejected."""
        tokens = len(draft.begun.said) + len(segment.tokens)
        chance = self.acceptance(score, self.threshold(draft.start, tokens))
        uniform = draft.seed.child("accept", draft.proposals).numpy().random()
        draft.proposals += 1
        if uniform < chance:
            draft.accept(segment, score)
            return
        draft.refusals += 1
        draft.rejected.append((score, segment))
        if len(draft.rejected) == self.rejections:
            best = max(draft.rejected, key=lambda own: own[0])
            draft.accept(best[1], best[0])


@dataclass
class _Draft:
    """A reply in the making."""

    prompt: Prompt
    begun: Begun
    seed: Seed
    start: float = 0.0
    """τ(0)."""
    finish: Finish | None = None
    score: float = 0.0
    """Reward of what has been accepted."""
    rejected: list[tuple[float, Segment]] = field(default_factory=list[tuple[float, Segment]])
    """Proposals for the present segment that were not accepted, with their scores."""
    segments: int = 0
    proposals: int = 0
    refusals: int = 0
    drawn: int = 0
    """Tokens of all proposals."""
    spent: Spent = field(default_factory=Spent)

    def reply(self, speaker: Speaker, segment: Segment) -> Reply:
        """What would have been said with this segment."""
        said = (*self.begun.said, *segment.tokens)
        finish = segment.finish or "length"
        return speaker.reply(self.prompt, self.begun.prompt, said, finish)

    def accept(self, segment: Segment, score: float) -> None:
        """Goes on behind a segment."""
        said = (*self.begun.said, *segment.tokens)
        self.begun = replace(self.begun, said=said)
        self.finish, self.score = segment.finish, score
        self.rejected = []
        self.segments += 1

    def counts(self) -> dict[str, float]:
        """What was counted on the way."""
        return {
            "segments": float(self.segments),
            "segment_tokens": len(self.begun.said) / self.segments,
            "rejections": self.refusals / self.segments,
            "policy_calls": float(self.drawn),
        }


def _answers(speaker: Speaker, models: Models, drafts: Sequence[_Draft]) -> list[Decoded]:
    """The drafts as replies, with the reward's own score where another has guided."""
    answers = [
        Decoded(
            draft.reply(speaker, Segment((), draft.finish, 0)),
            draft.score,
            draft.spent,
            draft.counts(),
        )
        for draft in drafts
    ]
    return rescored(models, answers)
